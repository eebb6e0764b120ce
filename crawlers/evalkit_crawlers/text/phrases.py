"""What sites say, in their languages, in the place of an article."""

import re


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


NOT_FOUND = _any_of(
    r"(?:error\s*)?404\b|\b404(?:\s*error)?$|not found|(?:no longer|not) (?:available|exists?)",
    r"does(?:n['’]t| not) exist|can(?:no|['’])t be found|cannot be found|couldn['’]t (?:find|be found)",
    r"nicht gefunden|existiert nicht|nicht (?:mehr )?verfügbar|introuvable|n['’]existe (?:pas|plus)",
    r"no encontrad[ao]|no existe|n[ãa]o encontrad[ao]|não existe|non trovat[ao]|non esiste",
    r"niet gevonden|bestaat niet|nie znaleziono|nie istnieje|не найден[ао]?|не существует|не знайдено",
    r"nenalezen[ao]?|bulunamadı|tidak ditemukan|không tìm thấy|hittades inte|ikke fundet|ikke funnet",
    r"找不到|不存在|見つかりません|찾을 수 없|غير موجود",
)
"""Of titles and headings of error pages."""
COOKIES = _any_of(
    r"cookies?\b|\bconsent|privacy (?:policy|settings|choices)|we value your privacy|\bTCF\b|vendors?\b",
    r"einwilligung|datenschutz|consentement|vie privée|confidentialité|consentimiento|privacidad|privacidade",
    r"consenso|informativa|toestemming|zgod[aęy]\b|prywatnoś|персональных данных|隐私|プライバシー",
)
COOKIE = _any_of(r"cookie|クッキー|файл\w* куки|쿠키")
ROBOT_CHECK = _any_of(
    r"checking (?:your browser|if the site connection)|verify(?:ing)? (?:that )?you are (?:a )?human",
    r"are you a robot|enable javascript and cookies|unusual traffic|captcha|ddos protection|request blocked",
    r"access (?:to this page has been )?denied|attention required|just a moment\.\.\.",
)
PAYWALL = _any_of(
    r"(?:subscribe|sign (?:up|in)|log ?in|register|join)[^.!?\n]{0,40} to (?:continue|keep) reading",
    r"(?:subscribe|sign (?:up|in)|log ?in)[^.!?\n]{0,40} to read (?:the (?:full|whole|rest)|this|more)",
    r"(?:this|the) (?:article|story|content|post) is (?:only |exclusively )?(?:for|available (?:only )?to) "
    r"(?:\w+ )?(?:subscribers|members)",
    r"jetzt weiterlesen|weiterlesen mit\b|um (?:den|diesen) (?:ganzen |vollständigen )?artikel zu lesen",
    r"(?:dieser|der) (?:artikel|inhalt|beitrag) ist (?:nur |exklusiv |ausschließlich )*für (?:\w+ )?abonnent",
    r"(?:cet|l['’]) ?article est réservé|(?:contenu|article) réservé aux abonnés|pour lire la suite",
    r"il vous reste [\d.,]+\s?% de cet article",
    r"(?:contenido|artículo|nota|noticia) (?:es )?(?:exclusiv[oa]|solo|sólo|reservad[oa]) para (?:\w+ )?"
    r"(?:suscriptor|abonad)",
    r"(?:suscríb[ae]te|regístr[ae]te)[^.!?\n]{0,30} (?:seguir|continuar) leyendo",
    r"(?:conteúdo|matéria|artigo) (?:é )?(?:exclusiv[oa]|restrit[oa]|só) (?:para|a) assinantes",
    r"(?:contenuto|articolo) (?:è )?(?:riservat[oa]|esclusiv[oa]) (?:agli|per gli) abbonati",
    r"(?:dit|het) artikel is (?:alleen |exclusief )*voor (?:\w+ )?abonnees",
    r"(?:treść|artykuł)[^.!?\n]{0,30} (?:tylko|wyłącznie) dla (?:subskrybent|prenumerator)",
    r"(?:материал|статья|текст)[^.!?\n]{0,30} (?:только|доступ\w*)[^.!?\n]{0,20} подпис",
    r"この記事は(?:有料|会員)|続きを読むには|残り[:：]?\s?\d+文字|本文(?:为|為)付(?:费|費)|订阅后(?:可|继续)",
    r"(?:이 )?기사는 (?:유료|구독자)|artikeln är (?:endast|bara) för prenumeranter",
    r"artikkelen er kun for abonnenter",
)
"""Of this very article; ``only for subscribers`` alone is said of functions and offers on free pages too."""
