"""Does an answer decline? In the template's own words, or in one of the stated phrases. Pure.

A prompt asks for one sentence of abstention; a model that was not tuned on it declines in its own words. `PHRASES` is
the whole list that is recognised, in English, German, French, Spanish, Italian, Portuguese, Dutch, Russian, Arabic,
Chinese, Japanese and Korean. A phrase is looked for at the beginning of the answer's first sentence, after an apology
or a reference to the passages. An answer that goes on with a "but" or "however", or for more than three sentences, has
more to say and is no abstention, whatever it begins with.
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
_ABOUT = (
    r"(?: (?:about|on|regarding|concerning|in|from|of|to|that|which|as|available|provided|given|here|for|whether)\b|\Z)"
)
_ASKED = (
    r"(?: (?:it|this|that|the|any|an? answer|your|how|what|who|when|where|which|whether|if|from|based|in|with|more|"
    r"such|specific|information)\b|\Z)"
)
"""What follows "I cannot find" of something asked for."""
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
    rf"there(?:'s| is| are| was| were)(?: not|n't)? (?:no|any|enough|insufficient) {_FACTS}{_ABOUT}",
    rf"(?:insufficient|not enough) (?:information|data|context|evidence){_ABOUT}",
    rf"(?:there (?:is|was) )?(?:insufficient|not enough|too little) (?:information|data|context|evidence) (?:in|within|from) "
    rf"{_SOURCE}\Z",
    rf"there(?:'s| is| was) nothing (?:[\w']+ ){{0,8}}(?:in|among|within) {_SOURCE}\Z",
    rf"nothing (?:is|was) (?:\w+ly )?(?:{_SAID}|said|written) (?:[\w']+ ){{0,8}}(?:in|by|from) {_SOURCE}\Z",
    r"(?:(?:it|this|that|the question|this question) is )?(?:unanswerable|not answerable)"
    rf"(?: (?:from|with|by|given|based on) {_SOURCE})?\Z",
    rf"no (?:\w+ )?answers? (?:(?:can|could|may) be (?:\w+ly )?(?:given|found|determined|provided|derived)\b|"
    rf"(?:(?:is|was) )?(?:given|found|available|possible|provided)(?: (?:in|from|by) {_SOURCE})?\Z|in {_SOURCE}\Z)",
    rf"{_SOURCE} (?:lacks? {_FACTS}|(?:is|are) silent\b)",
    rf"nothing in {_SOURCE} {_SAY}s?\b",
    rf"the answer (?:is|was)(?: not|n't) (?:\w+ )?(?:in|among|within|part of) {_SOURCE}",
    rf"(?:it|that) is(?: not|n't) possible to (?:tell|say|know|answer|determine){_ASKED}",
    rf"no (?:such |specific |relevant )?information (?:(?:is|was) (?:\w+ly )?{_SAID}\b|(?:about|on|regarding) )",
    rf"(?:i|we) have no {_FACTS}",
    r"(?:i'm|i am|we're|we are) not (?:entirely |really )?(?:sure|certain)"
    r"(?: (?:if|whether|how|what|who|when|where|why|which|about)(?: [\w']+){0,8})?\Z",
    rf"(?:the|this|these|our|your) (?:handbooks?|manuals?|guides?|polic(?:y|ies)|pages?|reports?|files?) {_NOT} "
    r"(?:say|tell|mention|state|specify)\b",
    rf"the answer (?:is|was) (?:not|n't|nowhere) (?:\w+ )?(?:in|among|within|part of) {_SOURCE}",
    rf"nothing in {_SOURCE} (?:\w+ly )?(?:{_SAY}s?|tells|says)\b",
    rf"(?:it|that|this|the answer|the exact [\w ]+?) (?:is|are|was|were)(?: not|n't)(?: \w+ly)? {_SAID} "
    rf"(?:in|by|from) {_SOURCE}",
    rf"(?:(?:(?!(?:is|are|was|were|which|has|have)\b)[\w'-]+ ){{1,15}})?"
    rf"(?:is|are|was|were)(?: not|n't)(?: \w+ly)? {_SAID} "
    rf"(?:anywhere )?(?:in|by|from) {_SOURCE}\Z",
    rf"not {_SAID} (?:in|by|from) {_SOURCE}\Z",
    r"not (?:mentioned|stated|specified)\Z",
    r"(?:it|this|that|the answer) (?:is|was)(?: not|n't)(?: \w+ly)? (?:mentioned|stated|specified|provided|given)\Z",
    r"(?:i|we) (?:do not|don't|did not|didn't) (?:actually |really )?know"
    r"(?: the answer(?: to .*)?| that| this| (?:if|whether|how|what|who|when|where|why|which)\b.*)?\Z",
    rf"(?:i|we) (?:do not|don't) (?:actually |really )?have {_FACTS}",
    r"(?:i|we) (?:cannot|can't|can not|could not|couldn't|(?:am|are|was|were|have been) (?:unable|not able) to|"
    r"(?:wasn't|weren't|have not been|haven't been) able to) "
    rf"(?:\w+ly )?(?:(?:find|locate|provide) (?:{_FACTS}|.*\b{_SOURCE}\Z|\Z)|(?:answer|determine|tell|say){_ASKED})",
    r"(?:the|this|that|your) (?:question|answer) (?:cannot|can't|can not|could not) be (?:answered|determined|found)",
    rf"(?:(?:it|this|that) )?(?:cannot|can't|can not|could not) be (?:answered|determined|found|inferred) "
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
    r"(?:el|la|los|las|este|estos|ningún) (?:pasajes?|documentos?|textos?|fragmentos?|fuentes?) no (?:lo )?"
    r"(?:dicen?|mencionan?|contienen?|indican?|especifican?|proporcionan?)\b",
    r"no (?:lo sé|se menciona|se indica|se especifica)\b",
    r"(?:i|il|lo|le|la|questi|nessun) (?:document[io]|test[io]|passaggi|passaggio|bran[io]|font[ei]) non (?:lo )?"
    r"(?:dic|menzion|conten|specific|indic|riport|fornisc)\w+",
    r"non (?:lo so|è menzionato|è specificato|è indicato|viene menzionato)\b",
    r"(?:os?|as?|estes|estas) (?:documentos?|textos?|trechos?|passagens|passagem|fontes?) não (?:o )?"
    r"(?:diz|menciona|contêm|contém|informa|especifica|indica|fornece)\w*",
    r"(?:eu )?não sei\b",
    r"(?:de|het|deze|dit) (?:documenten|document|teksten|tekst|passages?|bronnen|bron) "
    r"(?:zegg?en|zegt|vermeld|noem|bevat|geven|geeft)\w*\b.*\b(?:niet|niets|geen)\b",
    r"ik weet (?:het )?niet\b",
    r"в (?:\w+ )?(?:документ|текст|отрывк|источник)\w*\b.*\bне (?:говорится|указ|упомина|сказано|содерж)",
    r"(?:я )?не знаю\b",
    r"(?:المستندات|الوثائق|النصوص|النص|المقاطع|المقطع|المستند) لا (?:تذكر|يذكر|تقول|يقول|تحتوي|يحتوي|توضح|يوضح)",
    r"لا (?:أعرف|أعلم)\Z",
    r"(?:資料|文書|文章|文中|本文|テキスト|提供された)\w*(?:ありません|いません)",
    r"(?:わかりません|分かりません)",
    r"(?:문서|본문|지문|자료|텍스트)\w* .*(?:없습니다|않습니다|않았습니다)",
    r"(?:모르겠습니다|알 수 없습니다)",
    r"(?:根据)?(?:文中|原文|文章|文档|文件|资料|段落|上文|材料|提供的\w{0,6})(?:中|里)?(?:并?没有|并?未|无)(?:明确)?"
    r"(?:提到|提及|说明|提供|给出|包含|相关)",
    r"(?:我)?(?:不知道|无法(?:回答|确定))",
)
"""What an answer may begin with to decline, as regular expressions over words without case and marks."""
_DECLINES = re.compile(rf"(?:{'|'.join(PHRASES)})")
_PREFACE = re.compile(
    r"answer |"
    r"(?:(?:i'm|i am|we're|we are) (?:very )?(?:sorry|afraid)|sorry|unfortunately|apologies|i apologi[sz]e|leider|"
    rf"(?:based on|according to|from|in|within|given) {_SOURCE})(?: but)?(?: that)? "
)
_GOES_ON = re.compile(
    r"\b(?:but|however|although|though|nevertheless|nonetheless|instead|still|yet|that being said|that said|"
    r"aber|jedoch|allerdings|mais|cependant|pero|sin embargo)\b|但是|但|不过|然而"
)
_TELLS = re.compile(
    r"[:;]\s+(?P<after>\S+\s+\S.*)|\s[–—-]\s(?P<dashed>\S+\s\S.*)|,\s+(?:but\s+|and\s+)?(?P<clause>(?:they|it|he|she|we|there|this|that)\s+"
    r"(?:says?|said|is|are|was|were|states?|mentions?|names?|costs?|has|have|can|must|should|may|will|gives?|applies)\b.*)",
    re.IGNORECASE,
)
"""A second clause of a sentence that began by declining, and answers: ``do not say Paris, they say Rome``."""
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
    sentences = _SENTENCE.split(text.strip())
    first, *rest = [_bare(sentence) for sentence in sentences] or [""]
    begins = first == wanted or (len(wanted.split()) >= 3 and f"{_bare(text)} ".startswith(f"{wanted} "))
    after = _bare(text)[len(wanted) :] if begins else ""
    while not begins and (preface := _PREFACE.match(first)):
        first = first[preface.end() :]
        begins = first == wanted
    if begins:
        return not _GOES_ON.search(after)
    if not _DECLINES.match(first) or _tells(sentences[0]):
        return False
    return len(rest) < _LONGEST and not any(map(_GOES_ON.search, (first, *rest)))


def _tells(sentence: str) -> bool:
    """Has the sentence another clause, and does it tell something?"""
    found = _TELLS.search(sentence)
    clause = _bare(next(filter(None, found.groups()), "")) if found else ""
    return bool(clause) and not _DECLINES.match(clause) and not _PREFACE.match(f"{clause} ")


def _bare(text: str) -> str:
    """The words of a text in lower case, apostrophes kept."""
    return " ".join(re.sub(r"[^\w\s']|_", " ", text.replace("’", "'")).casefold().split()).strip("' ")
