import nbformat, hashlib, textwrap, sys
sys.path.insert(0,'/work/main/tools')
from opening import set_opening
cells=[]
def md(s): cells.append(nbformat.v4.new_markdown_cell(textwrap.dedent(s).strip()))
import re
LIMIT=100
def wrap_alt(src):
    """Put the alt text of show_figure on lines of at most LIMIT characters."""
    def fix(m):
        texts="".join(re.findall(r'"((?:[^"\\\\]|\\\\.)*)"',m.group(1))); rest="films=False" in m.group(0)
        one=f'show_figure("{texts}"'+(", films=False)" if rest else ")")
        if len(one)<=LIMIT: return one
        parts=textwrap.wrap(texts,LIMIT-8); lines=[f'    "{p} "' for p in parts[:-1]]+[f'    "{parts[-1]}",']
        return "\n".join(["show_figure(",*lines,*(["    films=False,"] if rest else []),")"])
    return re.sub(r'show_figure\(\s*((?:"(?:[^"\\\\]|\\\\.)*"\s*)+),?\s*(?:films=False,?\s*)?\)',fix,src)
def code(s, *tags):
    src=wrap_alt(textwrap.dedent(s).strip())
    for l in src.splitlines():
        if len(l)>100: print("LONG",len(l),l)
    c=nbformat.v4.new_code_cell(src)
    if tags: c.metadata["tags"]=list(tags)
    cells.append(c)
IGN="nbval-ignore-output"
def write(name):
    nb=nbformat.v4.new_notebook(cells=cells)
    for i,c in enumerate(cells): c["id"]=f"{name[:2]}-{i:03d}"
    nb.metadata={"kernelspec":{"display_name":"Python 3","language":"python","name":"python3"},"language_info":{"name":"python"}}
    set_opening(nb,name)
    nbformat.write(nb,'/work/main/notebooks/'+name)
