"""A reader of HTML pages, which finds what is not closed and collects what is referred to."""

from __future__ import annotations

from html.parser import HTMLParser

COMPARED = "cbec_bayes.checks.suite.gaussian_members"
"""What lists the members that are compared by what they predict: here those that are fitted."""


class Reader(HTMLParser):
    """Collects ids, links, labels, tags and text; fails where a tag is not closed or a figure has no label."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        if values.get("id"):
            self.ids.append(values["id"])
        for key in ("href", "src", "xlink:href"):
            if values.get(key):
                self.links.append(values[key])
        if tag == "svg":
            assert values.get("role") == "img"
            assert values.get("aria-label")
        self.labels.extend((values.get("aria-labelledby") or "").split())
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
