"""The words of docs/glossary.md, and where a text uses them."""

import re
from pathlib import Path

GLOSSARY = Path(__file__).resolve().parent.parent / "docs" / "glossary.md"
ENTRY = re.compile(r"^- \*\*(?P<term>.+?)\*\*(?: \(also: (?P<forms>.+?)\))?: (?P<meaning>.+)$", re.DOTALL)


def read_glossary(text):
    """The terms of a glossary: {term: (other forms, meaning)}. Raises ValueError for a line it cannot read."""
    terms = {}
    for entry in re.split(r"\n(?=- )", text)[1:]:
        found = ENTRY.match(" ".join(entry.split()))
        if found is None:
            start = entry.splitlines()[0][:60]
            raise ValueError(f'docs/glossary.md: "{start}" is no entry; write "- **term** (also: form): meaning."')
        forms = found["forms"].split(", ") if found["forms"] else []
        terms[found["term"]] = (forms, found["meaning"])
    return terms


def as_directive(text):
    """The glossary's Markdown with the list as the directive that Sphinx can link to."""
    start = text.index("\n- ")
    entries = [f"{term}\n  {meaning}\n" for term, (_, meaning) in read_glossary(text).items()]
    return text[:start] + "\n```{glossary}\n" + "\n".join(entries) + "```\n"


def term_of_form(terms):
    """{spelling in small letters: term} for all terms and their other forms."""
    forms = {form.casefold(): term for term, (others, _) in terms.items() for form in others}
    return forms | {term.casefold(): term for term in terms}


def find_terms(text, forms, seen):
    """Cut a text at the first use of each term: a list of (piece, term or None).

    forms: from term_of_form; seen: a set of terms that were used before; the new ones are added to it.
    Whole words only, and of two spellings that begin at the same place the longer one.
    """
    longest_first = sorted(forms, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?![\w-])", re.IGNORECASE)
    pieces, end = [], 0
    for match in pattern.finditer(text):
        term = forms[match[0].casefold()]
        if term not in seen:
            seen.add(term)
            pieces += [(text[end : match.start()], None), (match[0], term)]
            end = match.end()
    return [piece for piece in [*pieces, (text[end:], None)] if piece[0]]
