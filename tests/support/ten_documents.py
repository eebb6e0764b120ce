"""Ten short documents of our own, of the kinds that models are scored on; their golden values are pinned."""

TEN_DOCUMENTS = (
    "The ferry left the harbour before dawn. By the time the sun was above the islands, most of the p"
    "assengers had fallen asleep on the wooden benches, and only the cook was still awake, peeling po"
    "tatoes.",
    "def moving_average(values, width):\n    total = sum(values[:width])\n    averages = [total / wid"
    "th]\n    for new, old in zip(values[width:], values):\n        total += new - old\n        avera"
    "ges.append(total / width)\n    return averages\n",
    '#include <stdio.h>\n\nint main(void) {\n    for (int i = 10; i > 0; i--) {\n        printf("%d b'
    'ottles\\n", i);\n    }\n    return 0;\n}\n',
    "Q: How many bones does an adult human have?\nA: An adult has 206 bones; a newborn child has abou"
    "t 270, some of which grow together.\n",
    "On 14 March 2025 the council voted 37 to 12 for the new bridge. It will cost 84.6 million euros,"
    " 9% more than was planned in 2021, and is to open in 2029.",
    "Im Winter fährt der Bus nur zweimal am Tag. Wer ihn verpasst, wartet bis zum Abend oder geht die"
    " acht Kilometer über den Pass zu Fuß, wenn der Schnee es erlaubt.",
    "Let f be continuous on [a, b] with f(a) < 0 < f(b). Then there is a c in (a, b) with f(c) = 0: t"
    "ake the supremum of all x with f(x) < 0.",
    '{"station": "Halley", "year": 1998, "readings": [{"day": 1, "celsius": -27.4}, {"day": 2, "celsi'
    'us": -31.0}], "complete": false}',
    "天気がよければ、明日は川の向こうの丘まで歩くつもりです。雨なら、家で本を読みます。",
    "ok so   the   table has\ttabs &\r\nodd  line ends… plus emoji 🙂🎉 and caf"
    "\xe9, na\xefve, e\u0301 \u2014 fine?",
)
