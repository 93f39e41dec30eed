"""Structs and enumerators of the package are those of the headers, by the C compiler's word.

    layout.py INCLUDE COMPILER...
"""
import ctypes
import os
import re
import subprocess
import sys
import tempfile

include, *compiler = sys.argv[1:]
from support import case, expect, tap  # noqa: E402

from dionode import _library as library  # noqa: E402
from dionode.optim import KINDS  # noqa: E402

ENUMS = {library.Type: "DN_", library.Op: "DN_", library.Traffic: "DN_TRAFFIC_", library.Collective: "DN_", KINDS: "DN_PARAM_"}


def compiled(expressions):
    """What they are in C, with all headers."""
    names = sorted(os.listdir(os.path.join(include, "dionode")))
    text = "".join(f"#include <dionode/{name}>\n" for name in names if name.endswith(".h")) + "#include <stdio.h>\nint main(void) {\n"
    text += "".join(f'printf("%ld\\n", (long)({expression}));\n' for expression in expressions) + "return 0; }\n"
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        program = os.path.join(folder, "layout")
        subprocess.run([*compiler, "-I" + include, "-x", "c", "-", "-o", program], input=text, text=True, check=True)
        return list(map(int, subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()))


def compare(expected):
    """{C expression: what the package has}"""
    wrong = {e: (ours, theirs) for (e, ours), theirs in zip(expected.items(), compiled(expected)) if ours != theirs}
    expect(not wrong, f"expression: (in the package, in the headers): {wrong}")


@case
def structs_lie_as_in_the_headers():
    structs = {"dn_" + re.sub("(?<!^)([A-Z])", r"_\1", name).lower(): it for name, it in vars(library).items()
               if isinstance(it, type) and issubclass(it, ctypes.Structure)}
    expect(len(structs) > 8, f"{list(structs)}")
    expected = {}
    for name, struct in structs.items():
        if name != "dn_optim_config":  # of which only the first fields are known
            expected[f"sizeof({name})"] = ctypes.sizeof(struct)
        for field, _ in struct._fields_:
            expected[f"offsetof({name}, {field})"] = getattr(struct, field).offset
            expected[f"sizeof((({name} *)0)->{field})"] = getattr(struct, field).size
    compare(expected)


@case
def enumerators_are_those_of_the_headers():
    compare({prefix + one.name.upper(): one.value for enum, prefix in ENUMS.items() for one in enum} |
            {"DN_N_AXES": library.N_AXES, "DN_N_TYPES": len(library.Type), "DN_N_OPS": len(library.Op),
             "DN_N_TRAFFIC": len(library.Traffic), "DN_N_COLLECTIVES": len(library.Collective)} |
            {f"dn_type_bytes({type.value})": n for type, n in library.TYPE_BYTES.items()})


tap()
