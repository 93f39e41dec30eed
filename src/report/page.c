#include "report/page.h"

#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--faint:#59636e;--line:#d8dee4;--best:#dafbe1;"
    "--c0:#0969da;--c1:#d1480b;--c2:#1a7f37;--c3:#8250df;--c4:#bf3989;--c5:#8a6100;--c6:#0b7a8a;--c7:#57606a}"
    "\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--faint:#9198a1;--line:#2f353d;"
    "--best:#12321d;--c0:#4493f8;--c1:#f0813c;--c2:#3fb950;--c3:#ab7df8;--c4:#f778ba;--c5:#d3a12f;"
    "--c6:#39c5cf;--c7:#9198a1}}\n"
    "body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:66rem;"
    "margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .2rem}\n"
    "p{margin:.2rem 0 .7rem;max-width:48rem}p.note,figcaption{color:var(--faint)}\n"
    "figure{margin:.4rem 0}svg{display:block;max-width:100%;height:auto}\n"
    "svg text{font:13px system-ui,sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}\n"
    "svg .name{fill:var(--faint)}svg .grid{stroke:var(--line)}svg .frame{stroke:var(--faint);fill:none}\n"
    "svg .curve{fill:none;stroke-width:2;stroke-linejoin:round}svg .band{stroke:none;fill-opacity:.1}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.6rem 0}.legend span{white-space:nowrap}\n"
    ".legend svg,td svg{display:inline-block;vertical-align:middle;margin-right:.4rem}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "td,th{padding:.25rem 0 .25rem .9rem;text-align:right;border-bottom:1px solid "
    "var(--line)}td{white-space:nowrap}\n"
    "td:first-child,th:first-child{text-align:left;padding-left:0;position:sticky;left:0;background:var(--"
    "paper)}\n"
    "th{color:var(--faint);font-weight:600;vertical-align:bottom}svg .raw{stroke-width:1;stroke-opacity:.3}\n"
    "td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:6rem}td.run{min-width:13rem}tr.best "
    "td{background:var(--best)}td.message{text-align:left;white-space:normal}\n"
    "pre{overflow-x:auto;border:1px solid var(--line);border-radius:6px;padding:.6rem "
    ".8rem;font-size:.85rem}\n"
    "dt{font-weight:600}dd{margin:0 0 .5rem 0;color:var(--faint)}\n"
    /* A phone shows a plot at half its size: text in it is twice as large. */
    "@media(max-width:700px){body{font-size:15px}svg text{font-size:22px}svg text.long{font-size:15px}.legend svg text{font-size:13px}"
    "table{font-size:.85rem}td,th{padding-left:.6rem}td.run{min-width:6rem}}\n"
    "@media print{:root{color-scheme:light}body{font-size:10pt;max-width:none;margin:0;padding:0}"
    /* Chromium breaks after a flex container, whatever is said of it. */
    "h2,p.note,.legend{break-after:avoid}.legend{display:block}.legend span{display:inline-block;margin-right:1.2rem}"
    "figure,tr,.legend,dl,pre{break-inside:avoid}"
    ".wide{overflow:visible}table{font-size:8.5pt}td,th{padding-left:.5rem}figure svg{max-height:5.5cm}"
    "pre{white-space:pre-wrap}}\n";

void dn_page_begin(const char *title, FILE *out)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n<title>",
          out);
    dn_page_text(title, out);
    fprintf(out, "</title>\n<style>\n%s</style></head><body>\n", style);
}

void dn_page_end(FILE *out)
{
    fputs("</body></html>\n", out);
}

void dn_page_text(const char *text, FILE *out)
{
    for (; *text; text++)
        if (strchr("<>&\"", *text))
            fprintf(out, "&#%d;", *text);
        else
            fputc((unsigned char)*text < ' ' && *text != '\n' ? ' ' : *text, out);
}

void dn_page_section(const char *title, const char *note, FILE *out)
{
    fputs("<h2>", out);
    dn_page_text(title, out);
    fputs("</h2>\n", out);
    if (!note)
        return;
    fputs("<p class=\"note\">", out);
    dn_page_text(note, out);
    fputs("</p>\n", out);
}
