"""How a page looks: Markdown fences, templates and style. Reads files, runs nothing."""
