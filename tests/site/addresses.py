"""Where the site of the tests is said to be, and its sources."""

PUBLISHED = "https://site.invalid/after/the-response/"
REPOSITORY = "https://github.com/owner/name"
