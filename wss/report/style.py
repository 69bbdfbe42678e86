"""How the page looks."""

import numpy as np

from wss.panels import IGNORED_COLOUR
from wss.report.pictures import HEAT_COLOURS, RIGHT_COLOUR, WRONG_COLOUR

# Shades of a share, 0 to 1, in the confusion matrix.
SHADES = 10
_PAPER, _FULL = np.array([255, 255, 255]), np.array([8, 64, 160])

_SHEET = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 76rem; color: #1d2430;
  background: #fff; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem;
  border-bottom: 1px solid #d8dde6; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
h3 span, .note, figcaption, footer { color: #566070; font-weight: normal; }
.note, footer { font-size: .875rem; margin: .25rem 0 .75rem; }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .875rem; }
th, td { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #e6e9ef;
  vertical-align: top; }
thead th { white-space: nowrap; border-bottom-color: #b9c1ce; vertical-align: bottom; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.best { font-weight: 700; }
td:first-child { white-space: nowrap; }
.wide td { min-width: 12rem; overflow-wrap: anywhere; }
.wide th { white-space: nowrap; }
.swatch { display: inline-block; width: .9rem; height: .9rem; margin-right: .4rem;
  border: 1px solid #0004; border-radius: 2px; vertical-align: -.1rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .5rem 0;
  padding: 0; list-style: none; font-size: .875rem; }
.heat { display: inline-block; width: 6rem; height: .8rem; margin: 0 .4rem;
  border: 1px solid #0004; border-radius: 2px; vertical-align: -.1rem; }
.panels { display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fill, minmax(min(9rem, 30%), 1fr));
  margin-bottom: .6rem; }
figure { margin: 0; }
figure, section { min-width: 0; }
figure img { display: block; width: 100%; border: 1px solid #d8dde6; }
figcaption { font-size: .8rem; line-height: 1.3; padding-top: .15rem;
  overflow-wrap: anywhere; }
.flat { image-rendering: pixelated; }
.charts { display: grid; gap: 0 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.chart { display: block; width: 100%; }
.confusion { border-collapse: separate; border-spacing: 1px; font-size: .75rem; }
.confusion th, .confusion td { border: 0; padding: .15rem .3rem; }
.confusion td { min-width: 2rem; height: 1.6rem; text-align: right; }
.confusion thead th { writing-mode: vertical-rl; transform: rotate(180deg);
  font-weight: normal; text-align: left; }
.confusion tbody th { position: sticky; left: 0; background: #fff; font-weight: normal;
  white-space: nowrap; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1rem 0; }
a { color: #0b4fb3; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; background: #f5f6f9; padding: .75rem; font-size: .8rem;
  border-radius: 4px; }
"""


def sheet() -> str:
    """The style sheet."""
    rules = [_SHEET]
    for shade in range(SHADES + 1):
        share = shade / SHADES
        colour = colour_name(np.rint(_PAPER + share * (_FULL - _PAPER)))
        ink = "#fff" if share > 0.5 else "#1d2430"
        rules.append(f".confusion .s{shade} {{ background: {colour}; color: {ink}; }}")
    stops = ", ".join(map(colour_name, HEAT_COLOURS))
    rules.append(f".heat {{ background: linear-gradient(to right, {stops}); }}")
    for name, colour in (
        ("right", RIGHT_COLOUR),
        ("wrong", WRONG_COLOUR),
        ("ignored", IGNORED_COLOUR),
    ):
        rules.append(f".{name} {{ background: {colour_name(colour)}; }}")
    return "\n".join(rules)


def colour_name(colour) -> str:
    """(red, green, blue) in 0..255 as style sheets write it."""
    return "#{:02x}{:02x}{:02x}".format(*(int(channel) for channel in colour))
