"""An SVG file made part of a page: unique ids, a name for screen readers, the page's colours."""

import re
from html import escape

from mergelaw.report.colors import THEME


def inline(svg: str, name: str, title: str, caption: str) -> str:
    """Return a drawing as an element of an HTML page.

    Parameters
    ----------
    svg : str
        A file written by `mergelaw.report.style.to_svg`.
    name : str
        The figure's name; starts every id, because ids are unique in a page.
    title, caption : str
        What a screen reader says instead of the drawing.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body).replace("url(#", f"url(#{name}-")
    for color, variable in THEME.items():
        body = body.replace(color.light, f"var({variable})")
    opening, rest = body.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version|xmlns)="[^"]*"', "", opening)
    label = escape(f"{title}. {caption}", quote=True)
    return f'{opening} role="img" aria-label="{label}">{rest.strip()}'


def theme_css() -> str:
    """Return the CSS variables of `inline` for light pages, dark pages and print."""
    light = " ".join(f"{variable}: {color.light};" for color, variable in THEME.items())
    dark = " ".join(f"{variable}: {color.dark};" for color, variable in THEME.items())
    return (
        f":root {{ {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    )
