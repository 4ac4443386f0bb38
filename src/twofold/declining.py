"""Does an answer decline? In the template's own words, or in one of the stated phrases. Pure.

A prompt asks for one sentence of abstention; a model that was not tuned on it declines in its own words. `PHRASES` is
the whole list that is recognised, in English, German, French, Spanish and Chinese. A phrase is looked for at the
beginning of the answer's first sentence, after an apology or a reference to the passages. An answer that goes on with
a "but" or "however", or for more than three sentences, has more to say and is no abstention.
"""

from __future__ import annotations

import re

_SOURCE = (
    r"(?:(?:the|these|those|this|any of the|any|either|none of the|your|my) )?"
    r"(?:(?:provided|given|above|supplied|retrieved|available|shown|quoted|numbered|two|three|five) )*"
    r"(?:passages?|documents?|texts?|context|sources?|excerpts?|articles?|snippets?|materials?|information)"
    r"(?: (?:(?:that )?(?:was|were|is|are) )?(?:provided|given|above|supplied|shown|here|available|\d+))*"
)
_FACTS = (
    r"(?:(?:any|enough|sufficient|specific|explicit|direct|relevant|further|such|the|this|that|an?|clear|exact) )*"
    r"(?:information|details?|mention|answers?|data about|data on|reference to)\b"
)
_SAY = (
    r"(?:say|tell|mention|state|specify|indicate|discuss|address|answer|describe|explain|detail|cover|reveal|disclose|"
    r"clarify|refer to)"
)
_HOLD = r"(?:provide|contain|include|give|offer|have|hold)"
_SAID = (
    r"(?:mentioned|stated|specified|provided|given|told|discussed|indicated|included|listed|found|answered|disclosed|"
    r"described|known|clear|available|covered|addressed|explained)"
)
_NOT = r"(?:do|does|did)(?: not|n't)(?: \w+ly)?"

PHRASES: tuple[str, ...] = (
    rf"{_SOURCE} {_NOT} {_SAY}\b",
    rf"{_SOURCE} {_NOT} {_HOLD} {_FACTS}",
    rf"{_SOURCE} (?:gives?|provides?|contains?|includes?|has|have|makes?) no {_FACTS}",
    rf"(?:none|neither) of {_SOURCE} {_SAY}(?:s|es)?\b",
    rf"(?:none|neither) of {_SOURCE} {_HOLD}s? {_FACTS}",
    rf"no (?!information)(?:{_SOURCE}) {_SAY}s?\b",
    rf"there (?:is|are|was|were) (?:no|not any|not enough|insufficient) (?!information (?:loss|technology)){_FACTS}",
    r"no (?:such |specific |relevant )?information (?:is |was |about |on |regarding )",
    rf"(?:it|that|this|the answer|the exact [\w ]+?) (?:is|are|was|were)(?: not|n't)(?: \w+ly)? {_SAID} "
    rf"(?:in|by|from) {_SOURCE}",
    rf"(?:[\w' -]{{1,80}} )?(?:is|are|was|were)(?: not|n't)(?: \w+ly)? {_SAID} "
    rf"(?:anywhere )?(?:in|by|from) {_SOURCE}\Z",
    rf"not {_SAID} (?:in|by|from) {_SOURCE}\Z",
    r"(?:it|this|that|the answer) (?:is|was)(?: not|n't)(?: \w+ly)? (?:mentioned|stated|specified|provided|given)\Z",
    r"(?:i|we) (?:do not|don't|did not|didn't) (?:actually |really )?know(?: the answer(?: to .*)?| that| this)?\Z",
    rf"(?:i|we) (?:do not|don't) (?:actually |really )?have {_FACTS}",
    r"(?:i|we) (?:cannot|can't|can not|could not|couldn't|am unable to|am not able to|are unable to) "
    r"(?:\w+ly )?(?:(?:find|answer|determine|provide|locate)\b|(?:tell|say)\Z)",
    r"(?:the|this|that|your) (?:question|answer) (?:cannot|can't|can not|could not) be (?:answered|determined|found)",
    rf"(?:it|this|that) (?:cannot|can't|can not|could not) be (?:answered|determined|found|inferred) "
    rf"(?:from|in|by) {_SOURCE}",
    r"(?:die|der|das|den|dieser?|dieses|diesen|kein|keine|keines der|keiner der) "
    r"(?:[\wäöüß]+ )?(?:passagen?|dokumente?n?|texte?n?|textstellen?|abschnitte?n?|quellen?|kontext|unterlagen) "
    r"(?:enthält|enthalten|nennt|nennen|sagt|sagen|gibt|geben|erwähnt|erwähnen|liefert|liefern|macht|machen|"
    r"beantwortet|beantworten|beschreibt|beschreiben)\b.*\b(?:nicht|nichts|keine|keinen|keinerlei|darüber|dazu)\b",
    r"(?:das|dies|es) (?:wird|ist|steht|geht) (?:\w+ )*?(?:nicht|nirgends)\b.*"
    r"\b(?:erwähnt|genannt|angegeben|passagen?|dokumenten?|texte?n?|hervor)\b",
    r"(?:ich|wir) (?:weiß|weiss|wissen|kann|können) (?:es |das |dies |die frage )?(?:leider )?nicht\b",
    r"(?:dazu|darüber|hierzu) (?:gibt es|liegen|finden sich|steht) (?:\w+ )*?(?:keine|keinerlei|nichts)\b",
    r"(?:le|la|les|ce|cet|ces|aucun) (?:passages?|documents?|textes?|extraits?|sources?) "
    r"(?:ne |n')(?:\w+ )+?(?:pas|rien|aucune?)\b",
    r"(?:je|nous) ne (?:sais|savons) pas\b",
    r"(?:el|la|los|las|este|estos|ningún) (?:pasajes?|documentos?|textos?|fragmentos?|fuentes?) no "
    r"(?:dicen?|mencionan?|contienen?|indican?|especifican?|proporcionan?)\b",
    r"no (?:lo sé|se menciona|se indica|se especifica)\b",
    r"(?:根据)?(?:文中|原文|文章|文档|文件|资料|段落|上文|材料|提供的\w{0,6})(?:中|里)?(?:并?没有|并?未|无)(?:明确)?"
    r"(?:提到|提及|说明|提供|给出|包含|相关)",
    r"(?:我)?(?:不知道|无法(?:回答|确定))",
)
"""What an answer may begin with to decline, as regular expressions over words without case and marks."""
_DECLINES = re.compile(rf"(?:{'|'.join(PHRASES)})")
_PREFACE = re.compile(
    r"(?:(?:i'm|i am|we're|we are) (?:very )?(?:sorry|afraid)|sorry|unfortunately|apologies|i apologi[sz]e|leider|"
    rf"(?:based on|according to|from|in|within|given) {_SOURCE})(?: but)?(?: that)? "
)
_GOES_ON = re.compile(
    r"\b(?:but|however|although|though|nevertheless|nonetheless|instead|still|yet|that being said|that said|"
    r"aber|jedoch|allerdings|mais|cependant|pero|sin embargo)\b|但是|但|不过|然而"
)
_LONGEST = 3
"""Sentences of an abstention in other words, at most."""
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n")


def declines(text: str, abstention: str) -> bool:
    """Is the answer an abstention?

    Args:
        text: The answer, without markers.
        abstention: The template's sentence; where it is empty nothing is an abstention. It is recognised as whole
            words at the beginning: ``No`` does not stand in ``None``, and of a sentence of fewer than three words the
            answer's first sentence must be all.
    """
    wanted = _bare(abstention)
    if not wanted:
        return False
    first, *rest = [_bare(sentence) for sentence in _SENTENCE.split(text.strip())] or [""]
    if first == wanted or (len(wanted.split()) >= 3 and f"{_bare(text)} ".startswith(f"{wanted} ")):
        return True
    while preface := _PREFACE.match(first):
        first = first[preface.end() :]
    return bool(_DECLINES.match(first)) and len(rest) < _LONGEST and not any(map(_GOES_ON.search, (first, *rest)))


def _bare(text: str) -> str:
    """The words of a text in lower case, apostrophes kept."""
    return " ".join(re.sub(r"[^\w\s']|_", " ", text.replace("’", "'")).casefold().split()).strip("' ")
