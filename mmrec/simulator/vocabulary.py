"""Words and colors of the simulated shop: the values that attributes take, in a fixed order."""

DOMAINS = ("beauty", "fashion")

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (205, 38, 48),
    "coral": (248, 116, 92),
    "pink": (240, 140, 180),
    "violet": (126, 76, 170),
    "navy": (32, 48, 104),
    "sky": (98, 172, 226),
    "teal": (18, 130, 128),
    "green": (74, 146, 62),
    "mustard": (222, 170, 40),
    "brown": (120, 78, 48),
    "sand": (222, 200, 164),
    "black": (40, 40, 44),
}
"""RGB by name."""

PATTERNS = ("plain", "striped", "dotted", "checked", "waved")
SHAPES = ("slim", "classic", "bold")
SEASONS = ("all-year", "spring", "summer", "autumn", "winter")
BRANDS = (
    "Velora", "Maison Lin", "Norrsken", "Oaken", "Citrine", "Harbor & Co", "Lumi", "Petal Row",
    "Studio Kite", "Brava", "Edelgrau", "Sable", "Tamarind", "Fjell", "Rue Douze", "Moonwake",
)  # fmt: skip
CATEGORIES: dict[str, tuple[str, ...]] = {
    "beauty": ("lipstick", "nail polish", "perfume", "face cream", "foundation", "eyeshadow", "hand soap", "serum"),
    "fashion": ("shirt", "dress", "sneaker", "handbag", "trousers", "scarf", "hat", "coat"),
}
FINISHES: dict[str, tuple[str, ...]] = {
    "beauty": ("matte", "glossy", "shimmering", "sheer", "creamy"),
    "fashion": ("cotton", "silk", "denim", "wool", "linen"),
}
FINISH_ATTRIBUTE = {"beauty": "finish", "fashion": "material"}

BASE_PRICES: dict[str, float] = {
    "lipstick": 16, "nail polish": 9, "perfume": 62, "face cream": 28, "foundation": 32, "eyeshadow": 21,
    "hand soap": 8, "serum": 39, "shirt": 38, "dress": 79, "sneaker": 95, "handbag": 120, "trousers": 58,
    "scarf": 29, "hat": 27, "coat": 160,
}  # fmt: skip
"""EUR by category, before the brand's own level."""

COLLECTION_WORDS = (
    "Aurora", "Breeze", "Cinder", "Dune", "Ember", "Fable", "Grove", "Hollow", "Iris", "Juno", "Kelp", "Lagoon",
    "Meadow", "Nimbus", "Opal", "Prairie", "Quill", "Reef", "Saffron", "Tundra", "Umbra", "Vesper", "Willow", "Zephyr",
)  # fmt: skip

SENTENCES: dict[str, tuple[str, ...]] = {
    "beauty": (
        "A {finish} {category} in {color} that lasts from morning to late evening.",
        "{color} {category} with a {finish} feel, made in small batches.",
        "Our {finish} {category}: one stroke of {color} and you are ready.",
        "Gentle {category}, {finish} and {color}, for every skin.",
    ),
    "fashion": (
        "A {shape} {category} in {color} {finish}, {pattern}, cut to be worn every day.",
        "{pattern} {category} of soft {finish} in {color} with a {shape} fit.",
        "The {shape} {category} you keep coming back to: {color}, {pattern}, pure {finish}.",
        "{color} {category}, {pattern} {finish}, finished by hand.",
    ),
}
SHAPE_SENTENCES = {
    "slim": "Slim and light.",
    "classic": "A classic form.",
    "bold": "Bold, generous proportions.",
}
SEASON_SENTENCES = {
    "all-year": "For the whole year.",
    "spring": "Made for the first warm days of spring.",
    "summer": "A companion for summer heat and long evenings.",
    "autumn": "For autumn walks and early dusk.",
    "winter": "Keeps its promise in deep winter.",
}
