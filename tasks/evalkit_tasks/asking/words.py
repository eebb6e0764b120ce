"""Plain words that stories are made of; none is the beginning of another of its list."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "Ada Boris Chloe Dmitri Elena Farid Greta Hugo Ines Jonas Kofi Leila Mateo Nadia Oscar Priya Quentin "
    "Rosa Stefan Tamar Umberto Vera Wanda Xavier Yusuf Zoe"
)
DEVICES = _words("lamp fan radio heater sign pump printer projector kettle siren fountain speaker")
COLOURS = _words("red blue green yellow")
ADJECTIVES = _words(
    "amber brittle carved dusty empty faded golden heavy ivory jagged knitted leather marble narrow oval "
    "painted quilted rusty silver tiny velvet wooden"
)
NOUNS = _words(
    "anchor acorn basket brush bell button candle compass crown drum dice easel feather flute fork glove "
    "globe hammer hourglass inkwell jug kite key ladle lantern lens mask mirror mitten needle nutmeg oar "
    "orange pebble pillow pipe quill ribbon ring rope saddle scarf shell spoon stamp teapot thimble tile "
    "trumpet urn vase violin wallet watch wedge whistle wreath yoyo zipper"
)
