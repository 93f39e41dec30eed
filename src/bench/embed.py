"""Makes a C header that holds a text file as a string.

    embed.py INPUT OUTPUT NAME
"""
import sys

source, output, name = sys.argv[1:]
with open(source) as text, open(output, 'w') as header:
    header.write(f'static const char {name}[] =\n')
    for line in text:
        quoted = line.rstrip('\n').replace('\\', '\\\\').replace('"', '\\"')
        header.write(f'    "{quoted}\\n"\n')
    header.write('    ;\n')
