"""Recognise answers that decline, in the template's words or in one of the listed phrases. Pure.

A prompt asks for a fixed sentence of abstention; a model that was not tuned on it declines in other words. `PHRASES`
and `SHORT` are the complete lists of recognised phrases, in English, German, French, Spanish, Italian, Portuguese,
Dutch, Russian, Arabic, Chinese, Japanese and Korean, with a few in Polish, Czech, Ukrainian, Swedish, Norwegian,
Danish, Finnish, Turkish, Indonesian, Vietnamese and Hindi. A phrase must begin the answer's first sentence, after an
apology or a reference to the passages; a short phrase must be the whole answer. An answer that continues with "but" or
"however", with another informative clause ("do not say Paris, they say Rome"), or for more than three sentences is no
abstention, whatever it begins with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SOURCE = (
    r"(?:(?:the|these|those|this|any of the|any|either|none of the|your|my) )?"
    r"(?:(?:provided|given|above|supplied|retrieved|available|shown|quoted|numbered|two|three|five) )*"
    r"(?:passages?|documents?|texts?|context|sources?|excerpts?|articles?|snippets?|materials?|information)"
    r"(?: (?:(?:that )?(?:was|were|is|are) )?(?:provided|given|above|supplied|shown|here|available|\d+))*"
)
_FACTS = (
    r"(?:(?:any|enough|sufficient|specific|explicit|direct|relevant|further|such|the|this|that|an?|clear|exact) )*"
    r"(?:information|details?|mention|answers?|data about|data on|reference to|"
    r"indication (?:of|about|on|whether|how|what|when|who|where|why))\b"
)
_ABOUT = (
    r"(?: (?:about|on|regarding|concerning|in|from|of|to|that|which|as|available|provided|given|here|for|whether)\b|\Z)"
)
_OF_WHAT = (
    r"(?: (?:it|this|that|the|any|an? answer|your|how|what|who|when|where|which|whether|if|from|based|in|with|more|"
    r"such|specific|information)\b|\Z)"
)
"""Words after "I cannot tell" that refer to the question, not to something else."""
_SAY = (
    r"(?:say|tell|mention|state|specify|indicate|discuss|address|answer|describe|explain|detail|cover|reveal|disclose|"
    r"clarify|refer to)"
)
_HOLD = r"(?:provide|contain|include|give|offer|have|hold)"
_STATED = (
    r"(?:mentioned|stated|specified|provided|given|told|discussed|indicated|included|listed|found|answered|disclosed|"
    r"described|known|clear|available|covered|addressed|explained)"
)
_NOT = r"(?:(?:do|does|did)(?: not|n't)|never)(?: \w+ly| in fact)?"
_OTHER_SOURCE = (
    r"(?:the|this|these|those|our|your) (?:handbooks?|manuals?|guides?|polic(?:y|ies)|pages?|reports?|files?)"
)

PHRASES: tuple[str, ...] = (
    rf"{_SOURCE} {_NOT} {_SAY}\b",
    rf"{_SOURCE} {_NOT} {_HOLD} {_FACTS}",
    rf"{_SOURCE} {_NOT} {_HOLD} (?:it|that|this|the requested \w+)\Z",
    rf"(?:{_SOURCE}|{_OTHER_SOURCE}) (?:gives?|provides?|contains?|includes?|has|have|makes?) no {_FACTS}",
    rf"(?:{_SOURCE}|{_OTHER_SOURCE}) (?:gives?|provides?) no "
    r"(?:figures?|numbers?|dates?|names?|reasons?|prices?|amounts?)\Z",
    rf"{_SOURCE} (?:is|are) (?:all )?about (?:something else|(?:an)?other (?:things?|topics?|subjects?|matters?))\b",
    rf"{_SOURCE} (?:is|are) (?:insufficient|not sufficient|not enough)(?: to (?:answer|tell|say|know|determine)\b|\Z)",
    rf"it(?:'s| is) (?:not clear|unclear|unknown) (?:from|in) {_SOURCE}",
    rf"it(?:'s| is)(?: impossible|n't possible) to (?:tell|say|know|answer|determine){_OF_WHAT}",
    r"(?:i|we) (?:(?:could not|couldn't|cannot|can't|do not|don't|did not|didn't) find|(?:have not|haven't) found|"
    r"found) (?:anything|nothing) (?:about|on|regarding|concerning) (?:[\w'-]+ ){1,8}(?:in|within|among) "
    rf"(?:{_SOURCE}|{_OTHER_SOURCE})\Z",
    rf"(?:i|we) (?:have not|haven't) found {_FACTS}",
    rf"(?:i|we) (?:do not|don't) have (?:any )?access to {_FACTS}",
    rf"(?:none|neither) of {_SOURCE} {_SAY}(?:s|es)?\b",
    rf"(?:none|neither) of {_SOURCE} {_HOLD}s? {_FACTS}",
    rf"no (?!information)(?:{_SOURCE}) {_SAY}s?\b",
    rf"neither (?:passage|document|text|source|excerpt|article) {_SAY}s?\b",
    rf"(?:i'm|we're) (?:unable|not able) to (?:find|locate|provide) (?:{_FACTS}|.*\b{_SOURCE}\Z|\Z)",
    rf"there(?:'s| is| are| was| were)(?: not|n't)? (?:no|any|enough|insufficient) {_FACTS}{_ABOUT}",
    rf"(?:insufficient|not enough) (?:information|info|data|context|evidence){_ABOUT}",
    rf"(?:there (?:is|was) )?(?:insufficient|not enough|too little) (?:information|data|context|evidence) "
    rf"(?:in|within|from) {_SOURCE}\Z",
    rf"there(?:'s| is| was) nothing (?:[\w']+ ){{0,8}}(?:in|among|within) {_SOURCE}"
    r"(?: (?:about|on|regarding) (?:it|this|that))?\Z",
    rf"{_SOURCE} (?:says?|tells?(?: us)?|states?|mentions?) nothing"
    r"(?: (?:about|on|of|regarding|concerning|that|to|like)\b|\Z)",
    rf"(?:i|we) (?:do not|don't|did not|didn't) (?:see|find) (?:{_FACTS}|.*\b{_SOURCE}\Z)",
    r"(?:(?:i|we) (?:cannot|can't|can not|could not|couldn't)|(?:i'm|i am|we're|we are) (?:unable|not able) to) "
    r"(?:find|locate|see) (?:it|this|that|anything)"
    rf"(?: (?:about|on|regarding) (?:it|this|that)| (?:in|from) {_SOURCE})?\Z",
    rf"(?:it|this|that) (?:is|was)(?: not|n't)(?: \w+ly)? {_STATED} (?:in|by) (?:the|this|our|your) "
    r"(?:handbooks?|manuals?|guides?)\Z",
    rf"(?:i'm|we're) (?:unable|not able) to (?:answer|determine|tell|say){_OF_WHAT}",
    r"(?:this|that|the|such) (?:information|detail|answer) (?:is|was)(?:n't| not) "
    r"(?:available|given|provided|included|mentioned|stated|specified|found)\Z",
    rf"nothing (?:is|was) (?:\w+ly )?(?:{_STATED}|said|written) (?:[\w']+ ){{0,8}}(?:in|by|from) {_SOURCE}\Z",
    r"(?:(?:it|this|that|the question|this question) is )?(?:unanswerable|not answerable)"
    rf"(?: (?:from|with|by|given|based on) {_SOURCE})?\Z",
    rf"no (?:\w+ )?answers? (?:(?:can|could|may) be (?:\w+ly )?(?:given|found|determined|provided|derived)\b|"
    rf"(?:(?:is|was) )?(?:given|found|available|possible|provided)(?: (?:in|from|by) {_SOURCE})?\Z|in {_SOURCE}\Z)",
    rf"{_SOURCE} (?:lacks? {_FACTS}|(?:is|are) silent\b)",
    rf"nothing in {_SOURCE} {_SAY}s?\b",
    rf"the answer (?:is|was)(?: not|n't) (?:\w+ )?(?:in|among|within|part of) {_SOURCE}",
    rf"(?:it|that) is(?: not|n't) possible to (?:tell|say|know|answer|determine){_OF_WHAT}",
    rf"no (?:such |specific |relevant )?information (?:(?:is|was) (?:\w+ly )?{_STATED}\b|(?:about|on|regarding) )",
    rf"no (?:such |specific |relevant |further )?(?:details?|data|mention|information) (?:(?:is|are|was|were) "
    rf"(?:\w+ly )?{_STATED}\b|(?:about|on|regarding|of) [\w' ]{{1,60}}? (?:is|are|was|were) (?:\w+ly )?{_STATED}\b)",
    rf"(?:i|we) have no {_FACTS}",
    r"(?:i'm|i am|we're|we are) not (?:entirely |really )?(?:sure|certain)"
    r"(?: (?:if|whether|how|what|who|when|where|why|which|about)(?: [\w']+){0,8})?\Z",
    rf"{_OTHER_SOURCE} {_NOT} (?:say|tell|mention|state|specify)\b",
    rf"the answer (?:is|was) (?:not|n't|nowhere) (?:\w+ )?(?:in|among|within|part of) {_SOURCE}",
    rf"nothing in {_SOURCE} (?:\w+ly )?(?:{_SAY}s?|tells|says)\b",
    rf"(?:it|that|this|the answer|the exact [\w ]+?) (?:is|are|was|were)(?: not|n't)(?: \w+ly)? {_STATED} "
    rf"(?:in|by|from) {_SOURCE}",
    rf"(?:(?:(?!(?:is|are|was|were|which|has|have)\b)[\w'-]+ ){{1,15}})?"
    rf"(?:is|are|was|were)(?: not|n't)(?: \w+ly)? {_STATED} "
    rf"(?:anywhere )?(?:in|by|from) {_SOURCE}\Z",
    rf"not {_STATED} (?:in|by|from) {_SOURCE}\Z",
    r"not (?:mentioned|stated|specified)\Z",
    r"(?:it|this|that|the answer) (?:is|was)(?: not|n't)(?: \w+ly)? (?:mentioned|stated|specified|provided|given)\Z",
    r"(?:i|we) (?:do not|don't|did not|didn't) (?:actually |really )?know"
    r"(?: the answer(?: to .*)?| that| this| (?:if|whether|how|what|who|when|where|why|which)\b.*)?\Z",
    rf"(?:i|we) (?:do not|don't) (?:actually |really )?have {_FACTS}",
    r"(?:i|we) (?:cannot|can't|can not|could not|couldn't|(?:am|are|was|were|have been) (?:unable|not able) to|"
    r"(?:wasn't|weren't|have not been|haven't been) able to) "
    rf"(?:\w+ly )?(?:(?:find|locate|provide) (?:{_FACTS}|.*\b{_SOURCE}\Z|\Z)|(?:answer|determine|tell|say){_OF_WHAT})",
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
"""Beginnings of answers that decline, as regular expressions over words without case and marks."""
_HERE = rf"(?: (?:in|from|by|about|on) (?:it|this|that|{_SOURCE}))?"
SHORT: tuple[str, ...] = (
    r"unanswerable",
    rf"no (?:(?:such|relevant|specific|further) )?(?:answers?|information|info|data|details?|mention)"
    rf"(?: (?:(?:is|was) )?(?:available|found|given|provided|possible|stated))?{_HERE}",
    rf"not (?:mentioned|stated|specified|disclosed|found|answerable|known){_HERE}",
    rf"(?:it(?:'s| is) )?(?:unknown|unclear|undetermined|undisclosed|unspecified) (?:in|from|by) {_SOURCE}",
    r"(?:it|this|that) (?:is|was)(?: not|n't) (?:stated|mentioned|given|said|specified|written|found) "
    r"(?:anywhere|explicitly)",
    r"we (?:are|were) not told",
    r"no mention (?:of|about) (?:it|this|that)(?: (?:is|was) (?:made|found))?",
    rf"nothing (?:is|was) (?:said|written|{_STATED}) (?:about|on|regarding) (?:it|this|that)",
    rf"(?:it|this|that) (?:does not|doesn't) say(?: (?:so|that|it|anything))?{_HERE}",
    rf"not in {_SOURCE}",
    r"(?:(?:it|this|that|the answer) )?(?:cannot|can't|can not|could not) be (?:answered|determined|inferred|found)"
    rf"{_HERE}",
    r"nicht (?:beantwortbar|zu beantworten|angegeben|erwähnt|genannt)",
    r"(?:keine (?:angaben?|antwort|informationen?|auskunft)|(?:unzureichende|nicht genügend|zu wenige?) informationen?)"
    r"(?: (?:vorhanden|verfügbar|möglich|gefunden|dazu|hierzu|darüber))?",
    r"(?:das|dies|die frage) (?:lässt sich|kann) (?:\w+ ){0,4}nicht (?:beantworten|beantwortet werden|sagen)",
    r"(?:dazu|darüber|hierzu) (?:sagen|steht|stehen|enthalten|nennen) (?:\w+ ){0,4}nichts",
    r"(?:in den|im) (?:dokumenten?|texte?n?|passagen|quellen|unterlagen) (?:steht|stehen|findet sich) "
    r"(?:\w+ ){0,3}(?:nichts|keine (?:angaben?|informationen?))",
    r"(?:ich|wir) (?:konnte|konnten|kann|können|habe|haben) (?:\w+ ){0,6}nicht (?:finden|gefunden|beantworten)",
    r"(?:sans réponse|réponse impossible|aucune (?:réponse|information|donnée)(?: (?:disponible|trouvée|pertinente))?|"
    r"informations? insuffisantes?|pas assez d'informations?|non (?:mentionné|précisé|spécifié|indiqué)e?)",
    r"(?:je|nous) n'(?:ai|avons) (?:pas|rien) (?:pu )?(?:le |la )?trouvée?r?\b.*",
    r"(?:on|je|nous) ne (?:peut|peux|pouvons) pas (?:y |le )?(?:répondre|savoir|dire|déterminer)\b.*",
    r"(?:le|la|les|ces?) (?:passages?|documents?|textes?|extraits?|sources?) n'en (?:parlent?|disent?) (?:pas|rien)",
    r"(?:sin respuesta|(?:no hay )?(?:suficiente )?información insuficiente|no hay (?:suficiente )?"
    r"(?:información|respuesta|datos)(?: (?:suficiente|disponible))?|no (?:mencionado|especificado|indicado))",
    r"no (?:pude|puedo|he podido|se puede) (?:\w+ ){0,2}(?:encontrar\w*|responder\w*|determinar\w*|saber\w*)"
    r"(?: .*\b(?:textos?|documentos?|pasajes?|fuentes?))?",
    r"no se (?:encuentra|encontró|dice|sabe)(?: .*\b(?:textos?|documentos?|pasajes?|fuentes?))?",
    r"(?:informazion[ie] insufficient[ie]|senza risposta|nessuna (?:risposta|informazione)(?: disponibile)?|"
    r"non ci sono (?:abbastanza )?informazioni|non (?:specificato|menzionato|indicato))",
    r"non (?:è possibile|posso|si può) (?:rispondere|determinar\w+|trovar\w+|saperlo)\b.*",
    r"(?:sem resposta|informação insuficiente|informações insuficientes|não há (?:informação|informações|resposta)"
    r"(?: suficientes?)?|não há (?:informação )?suficiente informação|não (?:mencionado|especificado|informado))",
    r"não (?:é possível|posso|consigo|consegui) (?:responder|determinar|encontrar)\b.*",
    r"(?:onvoldoende informatie|geen (?:antwoord|informatie|gegevens)(?: (?:beschikbaar|gevonden|mogelijk))?|"
    r"niet (?:te beantwoorden|vermeld|genoemd|gevonden))",
    r"(?:недостаточно (?:информации|данных)|нет (?:ответа|данных|информации)(?: .*)?|не (?:указано|упоминается)|"
    r"невозможно (?:ответить|определить)(?: .*)?)",
    r"(?:معلومات غير كافية|لا توجد (?:معلومات|إجابة)(?: كافية)?|غير (?:مذكور|محدد)|لا يمكن (?:الإجابة|تحديد)(?: .*)?)",
    r"(?:信息|資訊|資料)不足|(?:没有|沒有|无)(?:足够的?|相关的?)?(?:信息|資訊|答案)|(?:文中)?(?:未|没有)提及|无法(?:确定|得知|判断)",
    r"(?:情報|データ)が?(?:不足(?:しています|です)?|足りません|ありません)|(?:お)?(?:回答|答え)(?:でき|られ)(?:ません|ない)|"
    r"(?:記載|記述|言及)(?:が|は)?(?:ありません|ない|なし)",
    r"(?:i|we) have no idea(?: (?:about|of) (?:it|this|that))?",
    r"(?:the |this |that )?information (?:(?:is|was) )?"
    r"(?:not (?:available|given|provided|found|included)|unavailable|missing)",
    rf"nothing (?:about|on|regarding) (?:it|this|that) (?:is|was) {_STATED}{_HERE}",
    r"(?:it|this|that) (?:does not|doesn't) (?:say|tell|specify|mention it)",
    r"aucune (?:information|donnée|réponse) (?:à ce sujet|là dessus|sur ce point)",
    r"(?:dokumenty?|teksty?|fragmenty?|źródła|źródło) (?:tego |o tym )?nie "
    r"(?:podają|podaje|mówią|mówi|wspominają|wspomina|zawierają|zawiera)(?: .*)?|nie wiem|"
    r"brak (?:informacji|odpowiedzi|danych)(?: .*)?|nie (?:podano|wspomniano|określono)(?: .*)?",
    r"(?:dokumenty?|texty?|pasáže) (?:to |o tom )?(?:neuvád|neřík|nezmiň|neobsah)\w+(?: .*)?|"
    r"nevím|není uvedeno(?: .*)?",
    r"[ув] (?:документ|текст|джерел)\w* (?:про це )?не (?:сказано|зазначено|вказано|згадано)(?: .*)?|"
    r"не (?:зазначено|вказано)(?: .*)?|(?:я )?не знаю",
    r"(?:dokumenten|dokumenterna|dokumentene|dokumenterne|texten|teksten|texterna|tekstene) "
    r"(?:säger|nämner|anger|sier|nevner|oppgir|siger|nævner) (?:.* )?(?:inget|ingenting|inte|intet|ikke|ikkje)(?: .*)?|"
    r"(?:det )?(?:står|framgår|nämns|anges|fremgår|nevnes|nævnes) (?:\w+ )?(?:inte|ikke|ikkje)(?: .*)?|"
    r"(?:jag|jeg) vet (?:inte|ikke)|jeg ved (?:det )?ikke",
    r"(?:asiakirjoissa|dokumenteissa|tekstissä|asiakirjat|dokumentit) ei(?:vät)? "
    r"(?:mainita|kerrota|sanota|kerro|mainitse)"
    r"(?: .*)?|en tiedä",
    r"(?:belgelerde|belgede|metinde|metinlerde|kaynaklarda|bağlamda) (?:.* )?"
    r"(?:belirtilmemiş(?:tir)?|belirtilmiyor|yer almıyor|bahsedilmiyor|bilgi (?:yok|bulunmuyor))|bilmiyorum",
    r"(?:hal ini |itu )?tidak (?:disebutkan|dijelaskan|ditemukan|dinyatakan)(?: .*)?|"
    r"(?:saya )?tidak tahu|(?:dokumen|teks)(?: \w+)? tidak (?:menyebutkan|menjelaskan|memuat)(?: .*)?",
    r"(?:các )?(?:tài liệu|văn bản) không (?:đề cập|nói|cung cấp)(?: .*)?|"
    r"không được đề cập(?: .*)?|(?:tôi )?không biết",
    r"(?:दस्तावेज़ों|दस्तावेज़|दस्तावेजों|दस्तावेज|पाठ) "
    r"में (?:.* )?(?:उल्लेख नहीं|नहीं (?:बताया|कहा|दिया|लिखा))(?: .*)?|(?:मुझे )?नहीं पता",
    r"(?:정보|자료)(?:가|는)? ?(?:부족합니다|부족함|없습니다|없음)|"
    r"(?:답|대답|답변)(?:을|를)? ?(?:할|알) 수 ?(?:없습니다|없음|없어요)|"
    r"(?:언급|명시)(?:되지|되어 있지) 않(?:았습니다|습니다|음)",
)
"""Whole answers that decline; as a mere beginning these words prove nothing ("Not found is status 404")."""
_DECLINES = re.compile(rf"(?:{'|'.join(PHRASES)})")
_SHORT = re.compile(rf"(?:{'|'.join(SHORT)})\Z")
_NOT_APPLICABLE = re.compile(r"\W*n(?:\s?/\s?|\.\s?)a\W*\Z", re.IGNORECASE)
_PREFACE = re.compile(
    r"answer |as an ai(?: (?:language )?model| assistant)? |"
    r"(?:(?:i'm|i am|we're|we are) (?:very )?(?:sorry|afraid)|sorry|unfortunately|apologies|i apologi[sz]e|leider|"
    rf"(?:based on|according to|from|in|within|given) {_SOURCE})(?: but)?(?: that)? "
)
_GOES_ON = re.compile(
    r"\b(?:but|however|although|though|nevertheless|nonetheless|instead|still|yet|that being said|that said|"
    r"aber|jedoch|allerdings|sondern|mais|cependant|pero|sino|sin embargo|porém|mas sim|però|bensì|maar|однако|но)\b|"
    r"但是|但|不过|然而|而是"
)
_SPEAKS = (
    r"(?:says?|said|states?|stated|mentions?|mentioned|names?|named|gives?|dit|disent|sagt|sagen|nennt|nennen|dice|"
    r"dicen|dicono|diz|dizem|zegt|zeggen|говор\w+)"
)
_TELLS = re.compile(
    r"(?:[:;]\s+|\s[–—-]\s)(?P<after>\S+\s+\S.*)|,\s+(?:(?:but|and|so)\s+)?(?P<clause>(?:"
    r"(?:they|it|he|she|we|there|this|that)\s+(?:is|are|was|were|costs?|has|have|can|must|should|may|will|applies)\b|"
    rf"(?:they|it|he|she|we|ils?|elles?|er|es|sie|él|ellos|lui|eles?|ze|они?)\s+{_SPEAKS}\b).*)",
    re.IGNORECASE,
)
"""A second clause of a sentence that began by declining."""
_VALUE = re.compile(rf"{_NOT} {_SAY} (?:[A-Z0-9$€£]\S*[ ]?){{1,3}}[.!]?\Z")
"""The end of a sentence that denies one value: ``do not mention Paris``."""
_OTHER_VALUE = re.compile(rf"(?:They|It|He|She)\s+{_SPEAKS}\s+(?!only\b|just\b|about\b|nothing\b)\S")
_TELLS_NOTHING = re.compile(
    r"(?:so )?(?:(?:they|it|this|that|there)(?: is| are| was| were|'s|'re) (?:(?:all|only|just|mostly|rather) )?"
    r"(?:about|concerned|no(?:t)? (?:way|information|mention|answer|possible|clear|known)|nothing|unclear|unknown|"
    r"uncertain|impossible|insufficient|unanswerable)\b|(?:they|it) (?:says?|states?|mentions?|names?|gives?) "
    r"(?:only|just|nothing)\b)"
)
"""A second clause that says why there is no answer."""
_LONGEST = 3
"""Most sentences of an abstention in other words than the template's."""
_WIDEST = 500
"""Most characters of its first sentence; the patterns are not tried on a longer one."""
_SENTENCE = re.compile(r"(?<=[.!?。！？।])\s+|(?<=[。！？])|\n")
_MARKS = "\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Marks that are parts of letters and syllables, beside letters and digits."""


def declines(text: str, abstention: str) -> bool:
    """Is the answer an abstention?

    Args:
        text: The answer, without markers.
        abstention: The template's sentence; if empty, no answer is an abstention. The sentence is matched as whole
            words at the beginning, so that ``No`` does not match ``None``; a sentence of fewer than three words must be
            the answer's whole first sentence.
    """
    phrase = _bare(abstention)
    if not phrase:
        return False
    sentences = _SENTENCE.split(text.strip())
    first, *rest = [_bare(sentence) for sentence in sentences] or [""]
    # A phrase of a word or two begins many answers that decline nothing.
    begins = first == phrase or (len(phrase.split()) >= 3 and f"{_bare(text)} ".startswith(f"{phrase} "))
    after = _bare(text)[len(phrase) :] if begins else ""
    # Prefaces stand in rows: "Sorry, based on the passages, …".
    while not begins and len(first) <= _WIDEST + len(phrase) and (preface := _PREFACE.match(first)):
        first = first[preface.end() :]
        begins = first == phrase
    if begins:
        return not (_GOES_ON.search(after) or _tells(sentences))
    if len(first) > _WIDEST:
        return False
    if len(sentences) == 1 and (_SHORT.match(first) or _NOT_APPLICABLE.match(text)):
        return True
    if not _DECLINES.match(first) or _tells(sentences):
        return False
    return len(rest) < _LONGEST and not any(map(_GOES_ON.search, (first, *rest)))


def _tells(sentences: Sequence[str]) -> bool:
    """Has an answer that began by declining another clause, or sentence, with information in it?"""
    first, *rest = sentences
    if rest and _VALUE.search(first.replace("’", "'")) and _OTHER_VALUE.match(rest[0]):
        return True
    tell = _TELLS.search(first)
    clause = _bare(next(filter(None, tell.groups()), "")) if tell else ""
    return bool(clause) and not (_DECLINES.match(clause) or _SHORT.match(clause) or _TELLS_NOTHING.match(clause))


def _bare(text: str) -> str:
    """The words of a text in lower case, apostrophes kept."""
    return " ".join(re.sub(rf"[^\w\s'{_MARKS}]|_", " ", text.replace("’", "'")).casefold().split()).strip("' ")
