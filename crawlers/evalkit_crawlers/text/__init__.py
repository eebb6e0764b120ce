"""From what was fetched to clean text: encodings, extraction, language, duplicates."""
