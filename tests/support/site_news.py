"""News for tests: articles with known text in seven languages, on pages of six makes, in feeds of three kinds.

The text is put together from phrases, so that as many different articles as a test needs can be had, and
so that all of it is known. Around it stands what stands around articles: menus, banners, scripts, related
stories, comments.
"""
# ruff: noqa: E501  (markup and phrases are easier to read unbroken)

import dataclasses
import datetime as dt
import html
import json
import random
from collections.abc import Mapping, Sequence
from email.utils import format_datetime

from tests.support.replay import Reply, Request, Site

NO_HEADERS: Mapping[str, str] = {}

# Subjects, what they did, where or when. Any three give a sentence.
_PHRASES = {
    "en": (
        (
            "The regional water board", "A group of young engineers", "The city's oldest theatre", "Several fishing villages",
            "An association of teachers", "The new harbour master", "Two retired geologists", "The national railway company",
            "A small orchestra", "Residents of the upper valley", "The public library", "Scientists at the field station",
        ),
        (
            "has presented a plan for cleaner canals", "began to measure the height of the dunes", "will open its archive to visitors",
            "asked for longer ferry timetables", "repaired eleven wooden bridges", "published a map of forgotten wells",
            "decided against a second quarry", "celebrated the return of the storks", "counted fewer eels than last autumn",
            "received money for better lighting", "promised to translate every notice", "tested a pump driven by the tide",
        ),
        (
            "after months of patient talks.", "although the budget remains uncertain.", "during the first week of November.",
            "because the old rules had expired.", "while neighbouring towns are still waiting.", "without any help from the capital.",
            "in spite of heavy autumn storms.", "as soon as the permits had arrived.", "to the surprise of local shopkeepers.",
            "according to a report read aloud on Tuesday.", "for the third time in a decade.", "under the eyes of many schoolchildren.",
        ),
        " ", " ",
    ),
    "es": (
        (
            "La junta regional del agua", "Un grupo de jóvenes ingenieras", "El teatro más antiguo de la ciudad", "Varias aldeas de pescadores",
            "Una asociación de maestros", "La nueva capitana del puerto", "Dos geólogos jubilados", "La compañía nacional de ferrocarriles",
            "Una pequeña orquesta", "El vecindario del valle alto", "La biblioteca pública", "El equipo de la estación científica",
        ),
        (
            "presentó un plan para limpiar los canales", "empezó a medir la altura de las dunas", "abrirá su archivo a los visitantes",
            "pidió más horarios de transbordador", "reparó once puentes de madera", "publicó un mapa de pozos olvidados",
            "se opuso a una segunda cantera", "celebró el regreso de las cigüeñas", "contó menos anguilas que el otoño pasado",
            "recibió dinero para mejorar el alumbrado", "prometió traducir todos los avisos", "probó una bomba movida por la marea",
        ),
        (
            "después de meses de conversaciones.", "aunque el presupuesto sigue siendo incierto.", "durante la primera semana de noviembre.",
            "porque las normas antiguas habían vencido.", "mientras los pueblos vecinos siguen esperando.", "sin ayuda de la capital.",
            "a pesar de las tormentas de otoño.", "en cuanto llegaron los permisos.", "para sorpresa de los comerciantes.",
            "según un informe leído el martes.", "por tercera vez en una década.", "ante la mirada de muchos escolares.",
        ),
        " ", " ",
    ),
    "ru": (
        (
            "Областной совет по воде", "Союз молодых инженеров", "Старейший театр города", "Посёлок рыбаков",
            "Союз учителей", "Новый начальник порта", "Отставной геолог", "Государственная железная дорога",
            "Небольшой оркестр", "Комитет верхней долины", "Городской архив", "Учёный с полевой станции",
        ),
        (
            "предложит план очистки каналов", "начнёт измерять высоту дюн", "откроет свои хранилища для гостей",
            "попросит продлить расписание паромов", "восстановит одиннадцать деревянных мостов", "издаст карту забытых колодцев",
            "выступит против второго карьера", "отметит возвращение аистов", "насчитает меньше угрей, чем прошлой осенью",
            "получит деньги на освещение улиц", "переведёт каждое объявление", "испытает насос, который работает от прилива",
        ),
        (
            "после долгих месяцев переговоров.", "хотя бюджет ещё не утверждён.", "в первую неделю ноября.",
            "потому что старые правила больше не действуют.", "пока соседние города ещё ждут.", "без всякой помощи столицы.",
            "несмотря на осенние бури.", "как только придут разрешения.", "к удивлению местных торговцев.",
            "согласно докладу, прочитанному во вторник.", "в третий раз за десять лет.", "на глазах у многих школьников.",
        ),
        " ", " ",
    ),
    "ar": (
        (
            "قدم مجلس المياه الإقليمي", "عرض فريق من المهندسين الشباب", "ناقش أقدم مسرح في المدينة", "اقترح صيادو القرى الساحلية",
            "درست رابطة المعلمين", "أعلن مدير الميناء الجديد", "شرح عالم جيولوجيا متقاعد", "نشرت شركة السكك الحديدية",
            "دعمت فرقة موسيقية صغيرة", "رفض سكان الوادي الأعلى", "استقبلت المكتبة العامة", "راجع علماء المحطة الميدانية",
        ),
        (
            "خطة لتنظيف القنوات القديمة", "قياسات جديدة لارتفاع الكثبان", "مشروعا لفتح الأرشيف أمام الزوار",
            "جدولا أطول لرحلات العبارات", "برنامجا لإصلاح الجسور الخشبية", "خريطة للآبار المنسية",
            "قرارا بشأن المحجر الثاني", "احتفالا بعودة طيور اللقلق", "إحصاء لأعداد الأسماك في الخريف",
            "ميزانية لتحسين إضاءة الشوارع", "وعدا بترجمة جميع الإعلانات", "مضخة تعمل بحركة المد والجزر",
        ),
        (
            "بعد أشهر من المحادثات الهادئة.", "رغم أن التمويل ما زال غير مؤكد.", "خلال الأسبوع الأول من نوفمبر.",
            "لأن القواعد القديمة انتهت.", "بينما تنتظر البلدات المجاورة دورها.", "من دون أي مساعدة من العاصمة.",
            "على الرغم من عواصف الخريف.", "فور وصول التصاريح اللازمة.", "وسط دهشة أصحاب المتاجر.",
            "وفقا لتقرير قرئ يوم الثلاثاء.", "للمرة الثالثة خلال عشر سنوات.", "أمام أعين كثير من التلاميذ.",
        ),
        " ", " ",
    ),
    "zh": (
        (
            "地区水务委员会", "一群年轻的工程师", "这座城市最古老的剧院", "沿海的几个渔村",
            "当地的教师协会", "新上任的港口主管", "两位退休的地质学家", "国家铁路公司",
            "一支小型管弦乐团", "上游山谷的居民", "市立公共图书馆", "野外观测站的科学家",
        ),
        (
            "提出了清理运河的新计划", "开始测量沙丘的高度", "将向参观者开放档案室",
            "要求延长渡轮的运营时间", "修复了十一座木桥", "出版了一张被遗忘的水井地图",
            "决定反对开设第二座采石场", "庆祝白鹳的归来", "统计到的鳗鱼比去年秋天更少",
            "获得了改善街道照明的资金", "承诺翻译每一份公告", "试验了一台由潮汐驱动的水泵",
        ),
        (
            "，此前他们经过了数月的耐心商谈。", "，尽管预算仍然没有确定。", "，时间是十一月的第一个星期。",
            "，因为旧的规定已经失效。", "，而邻近的城镇还在等待。", "，没有得到首都的任何帮助。",
            "，虽然秋季的风暴十分猛烈。", "，许可证一到便立即动工。", "，令当地的店主感到意外。",
            "，星期二宣读的报告这样说。", "，这是十年来的第三次。", "，许多学生在一旁观看。",
        ),
        "", "",
    ),
    "ja": (
        (
            "地域の水道委員会は", "若い技術者のグループは", "市内で最も古い劇場は", "沿岸のいくつかの漁村は",
            "地元の教員組合は", "新しい港の責任者は", "引退した二人の地質学者は", "国の鉄道会社は",
            "小さな管弦楽団は", "谷の上流に住む人々は", "市立図書館は", "野外観測所の研究者たちは",
        ),
        (
            "運河をきれいにする計画を", "砂丘の高さを測る調査を", "資料室を来館者に開く案を",
            "渡し船の時刻表の延長を", "十一の木の橋の修理を", "忘れられた井戸の地図を",
            "二つ目の採石場についての意見を", "コウノトリの帰還を祝う催しを", "去年の秋より少ないウナギの数を",
            "街灯を改善するための予算を", "すべての掲示を翻訳する約束を", "潮の力で動くポンプの実験を",
        ),
        (
            "数か月の話し合いの末に発表した。", "予算が決まらないまま公表した。", "十一月の最初の週に報告した。",
            "古い規則が切れたので示した。", "近くの町が待つ中で明らかにした。", "首都の助けを借りずに進めた。",
            "秋の嵐にもかかわらず続けた。", "許可が届くとすぐに始めた。", "商店主たちの驚きの中で伝えた。",
            "火曜日に読まれた報告書の中で述べた。", "十年で三度目に取り上げた。", "多くの生徒が見守る前で行った。",
        ),
        "", "",
    ),
    "hi": (
        (
            "क्षेत्रीय जल परिषद ने", "युवा इंजीनियरों के एक समूह ने", "शहर के सबसे पुराने रंगमंच ने", "मछुआरों के कई गाँवों ने",
            "शिक्षकों के एक संघ ने", "बंदरगाह के नए प्रमुख ने", "दो सेवानिवृत्त भूवैज्ञानिकों ने", "राष्ट्रीय रेल कंपनी ने",
            "एक छोटी संगीत मंडली ने", "ऊपरी घाटी के निवासियों ने", "सार्वजनिक पुस्तकालय ने", "अनुसंधान केंद्र के वैज्ञानिकों ने",
        ),
        (
            "नहरों की सफ़ाई की योजना", "रेत के टीलों की ऊँचाई की जाँच", "अभिलेखागार खोलने की तैयारी",
            "नावों की लंबी समय सारणी की माँग", "लकड़ी के ग्यारह पुलों की मरम्मत", "भूले हुए कुओं के नक्शे की छपाई",
            "दूसरी खदान के विरोध की बात", "सारसों की वापसी की खुशी", "मछलियों की गिनती की रिपोर्ट",
            "सड़कों की रोशनी की व्यवस्था", "हर सूचना के अनुवाद की घोषणा", "ज्वार से चलने वाले पंप की परीक्षा",
        ),
        (
            "कई महीनों की बातचीत के बाद सबके सामने रखी।", "बजट तय न होने पर भी जारी रखी।", "नवंबर के पहले सप्ताह में शुरू की।",
            "पुराने नियम समाप्त होने पर आगे बढ़ाई।", "पड़ोसी कस्बों से पहले पूरी की।", "राजधानी की सहायता के बिना चलाई।",
            "शरद ऋतु के तूफ़ानों के बावजूद पूरी की।", "अनुमति मिलते ही आरंभ की।", "दुकानदारों को चकित करते हुए बताई।",
            "मंगलवार को पढ़ी गई रिपोर्ट में बताई।", "दस वर्षों में तीसरी बार सामने रखी।", "बहुत से विद्यार्थियों के सामने दिखाई।",
        ),
        " ", " ",
    ),
}  # fmt: skip
LANGUAGES = tuple(_PHRASES)


@dataclasses.dataclass(frozen=True)
class Article:
    """An article, how its page is made, and what its feed says of it."""

    host: str
    path: str
    language: str
    title: str
    paragraphs: tuple[str, ...]
    published_at: dt.datetime
    make: str = "wordpress"
    page_date: dt.date | str | None = "same"
    """What the page states; "same" as `published_at`, or None: nothing."""
    feed_date: str = "published"
    """published, updated or none: which date the feed gives."""
    license_url: str | None = None
    """What the page links to as its license."""
    charset: str = "utf-8"
    """What the page is really in."""
    declared: str | None = None
    """What the page and the server say it is in; None: the truth."""
    redirect_to: str | None = None
    alternates: tuple[tuple[str, str], ...] = ()
    """Language and address of each translation that the page links to."""

    @property
    def url(self) -> str:
        return f"https://{self.host}{self.path}"

    @property
    def text(self) -> str:
        return "\n".join(self.paragraphs)

    @property
    def stated_date(self) -> dt.date | None:
        date = self.published_at.date() if self.page_date == "same" else self.page_date
        assert not isinstance(date, str)
        return date


def prose(language: str, number: int, num_paragraphs: int = 6) -> tuple[str, ...]:
    """Paragraphs of four sentences; another number gives another text."""
    subjects, actions, circumstances, inside, between = _PHRASES[language]
    choose = random.Random(f"{language} {number}")
    return tuple(
        between.join(
            inside.join([choose.choice(subjects), choose.choice(actions)])
            + ("" if language == "zh" else inside)
            + choose.choice(circumstances)
            for _ in range(4)
        )
        for _ in range(num_paragraphs)
    )


def article(language: str, number: int, published_at: dt.datetime, **changes: object) -> Article:
    """An article of the site ``LANGUAGE.news.example``."""
    title_source = _PHRASES[language]
    choose = random.Random(f"title {language} {number}")
    title = f"{choose.choice(title_source[0])} {choose.choice(title_source[1])} ({number})"
    fields: dict[str, object] = {
        "host": f"{language}.news.example",
        "path": f"/stories/{number}/",
        "language": language,
        "title": title,
        "paragraphs": prose(language, number),
        "published_at": published_at,
    }
    return Article(**{**fields, **changes})  # type: ignore[arg-type]


# --- pages -----------------------------------------------------------------------------------------------

_MENU = "".join(
    f'<li><a href="/{word}/">{word.title()}</a></li>'
    for word in ("world", "politics", "science", "culture", "sport", "about", "donate", "newsletter")
)
_RELATED = "".join(
    f'<li><a href="/stories/x{number}/">Read also: another story number {number}, with a long headline</a></li>'
    for number in range(6)
)
_COOKIES = "We use cookies to improve this site. By continuing you agree to our use of cookies. Accept all"


def _paragraphs(article: Article, tag: str = "p") -> str:
    """The text with a link and an emphasis in every paragraph."""
    return "\n".join(
        f'<{tag}><a href="/tag/x/">{html.escape(paragraph[:6])}</a>{html.escape(paragraph[6:30])}'
        f"<em>{html.escape(paragraph[30:34])}</em>{html.escape(paragraph[34:])}</{tag}>"
        for paragraph in article.paragraphs
    )


def _license(article: Article, element: str = "a") -> str:
    if article.license_url is None:
        return ""
    if element == "link":
        return f'<link rel="license" href="{article.license_url}">'
    return f'<a rel="license" href="{article.license_url}">Some rights reserved</a>'


def _wordpress(article: Article) -> str:
    date = article.stated_date
    stamp = f'<meta property="article:published_time" content="{date}T09:30:00+00:00">' if date else ""
    return f"""<!DOCTYPE html><html lang="{article.language}"><head>{_meta(article)}
<title>{html.escape(article.title)} | Example Voices</title><meta property="og:title" content="{html.escape(article.title)}">
<meta property="og:type" content="article">{stamp}<style>.x{{color:red}}</style><script>var a = 1;</script></head>
<body class="post-template-default single single-post"><header id="masthead"><nav><ul>{_MENU}</ul></nav></header>
<main><article class="post hentry"><header class="entry-header"><h1 class="entry-title">{html.escape(article.title)}</h1>
<div class="entry-meta">by <a rel="author" href="/author/x">A. Writer</a></div></header>
<div class="entry-content">{_paragraphs(article)}</div>
<footer class="entry-footer"><div class="sharedaddy"><ul><li><a href="#">Share on Mastodon</a></li></ul></div></footer></article>
<aside class="related"><h3>Related stories</h3><ul>{_RELATED}</ul></aside>
<div id="comments"><ol class="comment-list"><li class="comment"><p>First! I do not agree with this at all.</p></li></ol></div></main>
<footer id="colophon">{_license(article)} <p>Example Voices is a community of writers.</p></footer></body></html>"""


def _agency(article: Article) -> str:
    date = article.stated_date
    linked = {"@context": "https://schema.org", "@type": "NewsArticle", "headline": article.title}
    if date:
        linked["datePublished"] = f"{date}T12:00:00-05:00"
    return f"""<!DOCTYPE html><html lang="{article.language}" dir="ltr"><head>{_meta(article)}{_license(article, "link")}
<title>{html.escape(article.title)} | Agency</title><script type="application/ld+json">{json.dumps(linked)}</script></head>
<body><a href="#main" class="visually-hidden">Skip to main content</a><div class="usa-banner">An official website</div>
<div class="region-header"><ul class="menu">{_MENU}</ul></div><div id="main" role="main"><div class="region-content">
<h1 class="page-title"><span>{html.escape(article.title)}</span></h1>
<div class="node node--type-news-release"><div class="field field--name-body">{_paragraphs(article)}</div></div></div></div>
<div class="region-footer"><h2>Contact us</h2><ul>{_MENU}</ul><p>Privacy policy | Accessibility | FOIA</p></div></body></html>"""


def _portal(article: Article) -> str:
    date = article.stated_date
    time = f'<time datetime="{date}T06:00Z" class="published" pubdate>{date}</time>' if date else ""
    return f"""<html lang="{article.language}"><head>{_meta(article)}<title>{html.escape(article.title)}</title></head><body>
<div id="cookie-banner"><p>{_COOKIES}</p><button>OK</button></div><div class="wrap"><div class="nav"><ul>{_MENU}</ul></div>
<div class="story"><h1>{html.escape(article.title)}</h1><p class="byline">{time}</p><div class="story-body">
<section>{_paragraphs(article)}</section></div>{_license(article)}</div><div class="sidebar"><h4>Most read</h4><ol>{_RELATED}</ol></div></div>
<div class="footer"><ul>{_MENU}</ul></div></body></html>"""


def _plain(article: Article) -> str:
    date = article.stated_date
    meta = f'<meta name="date" content="{date}">' if date else ""
    return f"""<html lang="{article.language}"><head>{_meta(article)}{meta}<title>{html.escape(article.title)}</title></head>
<body><h1>{html.escape(article.title)}</h1>{_paragraphs(article)}<hr>{_license(article)}</body></html>"""


def _tables(article: Article) -> str:
    date = article.stated_date
    meta = f'<meta name="DC.date.issued" content="{date}">' if date else ""
    return f"""<HTML LANG="{article.language}"><HEAD>{_meta(article)}{meta}<TITLE>{html.escape(article.title)}</TITLE></HEAD>
<BODY BGCOLOR="#ffffff"><TABLE WIDTH="100%"><TR><TD WIDTH="150" CLASS="menu"><UL>{_MENU}</UL></TD><TD VALIGN="top">
<H1>{html.escape(article.title)}</H1><DIV CLASS="article">{_paragraphs(article, "P")}</DIV>{_license(article)}</TD></TR></TABLE></BODY></HTML>"""


def _divs(article: Article) -> str:
    date = article.stated_date
    linked = {"@type": "Article", "datePublished": str(date)} if date else {"@type": "Article"}
    return f"""<!DOCTYPE html><html lang="{article.language}"><head>{_meta(article)}<title>{html.escape(article.title)}</title>
<script type="application/ld+json">{json.dumps({"@graph": [linked]})}</script></head><body><div id="root"><div class="css-1a2b">
<div role="banner"><div class="css-9z"><a href="/">Home</a> <a href="/live">Live</a></div></div>
<div data-component="article"><h1 class="css-77">{html.escape(article.title)}</h1>
<div data-component="text-block">{_paragraphs(article)}</div></div>
<div role="complementary"><div><a href="/a">{"More stories like this one " * 3}</a></div></div>{_license(article)}</div></div></body></html>"""


MAKES = {
    "wordpress": _wordpress,
    "agency": _agency,
    "portal": _portal,
    "plain": _plain,
    "tables": _tables,
    "divs": _divs,
}


def _meta(article: Article) -> str:
    links = "".join(
        f'<link rel="alternate" hreflang="{language}" href="{html.escape(address)}">'
        for language, address in article.alternates
    )
    return f'<meta charset="{article.declared or article.charset}">{links}'


def page(article: Article) -> bytes:
    """The article's page as its server sends it."""
    return MAKES[article.make](article).encode(article.charset)


# --- feeds -----------------------------------------------------------------------------------------------


def rss(articles: Sequence[Article], charset: str = "utf-8", declared: str | None = None) -> bytes:
    items = "".join(
        f"<item><title>{html.escape(a.title)}</title><link>{html.escape(a.url)}?utm_source=rss&amp;utm_medium=feed</link>"
        f"<guid isPermaLink='false'>{a.url}</guid>"
        + {"published": f"<pubDate>{format_datetime(a.published_at)}</pubDate>", "none": ""}[a.feed_date]
        + f"<dc:creator>A. Writer</dc:creator><description>{html.escape(a.text[:80])}</description></item>"
        for a in articles
    )
    return (
        f'<?xml version="1.0" encoding="{declared or charset}"?><rss version="2.0" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>Example</title><link>https://news.example/</link>'
        f"<description>News</description>{items}</channel></rss>"
    ).encode(charset)


def atom(articles: Sequence[Article], charset: str = "utf-8", declared: str | None = None) -> bytes:
    def dates(a: Article) -> str:
        stamp = a.published_at.isoformat()
        published = f"<published>{stamp}</published>" if a.feed_date == "published" else ""
        return published + ("" if a.feed_date == "none" else f"<updated>{stamp}</updated>")

    entries = "".join(
        f'<entry><title>{html.escape(a.title)}</title><link rel="alternate" href="{html.escape(a.url)}"/>'
        f"<id>{a.url}</id>{dates(a)}<summary>{html.escape(a.text[:80])}</summary></entry>"
        for a in articles
    )
    return (
        f'<?xml version="1.0" encoding="{declared or charset}"?><feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>Example</title><id>urn:example</id><updated>2026-11-15T00:00:00Z</updated>{entries}</feed>"
    ).encode(charset)


def rdf(articles: Sequence[Article], charset: str = "utf-8", declared: str | None = None) -> bytes:
    items = "".join(
        f'<item rdf:about="{html.escape(a.url)}"><title>{html.escape(a.title)}</title><link>{html.escape(a.url)}</link>'
        + ("" if a.feed_date == "none" else f"<dc:date>{a.published_at.isoformat()}</dc:date>")
        + "</item>"
        for a in articles
    )
    return (
        f'<?xml version="1.0" encoding="{declared or charset}"?><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://news.example/"><title>Example</title>'
        f"<link>https://news.example/</link><description>News</description></channel>{items}</rdf:RDF>"
    ).encode(charset)


FORMATS = {"rss": rss, "atom": atom, "rdf": rdf}


@dataclasses.dataclass(frozen=True)
class ServedFeed:
    """A feed and the articles in it, newest first, as the site serves it under ``/feed/``."""

    host: str
    articles: tuple[Article, ...]
    format: str = "rss"
    per_page: int | None = None
    """With it, ``?paged=2`` … hold the older ones; beyond the last page, 404."""
    charset: str = "utf-8"
    declared: str | None = None


def news_site(feeds: Sequence[ServedFeed], robots: Mapping[str, str] = NO_HEADERS) -> Site:
    """All hosts of some feeds: their robots.txt, feeds with ETag and 304, articles, redirects."""
    pages = {(a.host, a.path): a for feed in feeds for a in feed.articles}
    by_host = {feed.host: feed for feed in feeds}

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            text = robots.get(request.host)
            return Reply(text.encode(), headers={"Content-Type": "text/plain"}) if text else Reply(status=404)
        if request.path == "/feed/" and request.host in by_host:
            return _feed_reply(by_host[request.host], request)
        requested = pages.get((request.host, request.path))
        if requested is None:
            return Reply(b"<html><body><p>Not found</p></body></html>", 404, {"Content-Type": "text/html"})
        if requested.redirect_to:
            return Reply(b"", 301, {"Location": requested.redirect_to})
        declared = requested.declared or requested.charset
        return Reply(page(requested), headers={"Content-Type": f"text/html; charset={declared}"})

    return site


def feed_table(feed: ServedFeed, license: str = "CC-BY-4.0", language: str | None = None) -> str:
    """The feed as a table of a file for ``--feeds``."""
    language = language or (feed.articles[0].language if feed.articles else "en")
    return (
        f'[feeds.{feed.host.replace(".", "-")}]\nurl = "https://{feed.host}/feed/"\nsite = "{feed.host}"\n'
        f'license = "{license}"\nlanguage = "{language}"\npaged = {str(feed.per_page is not None).lower()}\n'
    )


def _feed_reply(feed: ServedFeed, request: Request) -> Reply:
    number = int(request.query.get("paged", "1"))
    size = feed.per_page or max(1, len(feed.articles))
    part = feed.articles[(number - 1) * size : number * size]
    if number > 1 and not part:
        return Reply(status=404)
    body = FORMATS[feed.format](part, feed.charset, feed.declared)
    etag = f'"{len(body)}-{number}"'
    if request.headers.get("if-none-match") == etag:
        return Reply(status=304, headers={"ETag": etag})
    return Reply(body, headers={"ETag": etag, "Content-Type": "application/rss+xml"})
