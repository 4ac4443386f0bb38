"""Units of measure: names and signs, and what one is of another of its kind. Pure.

Factors are exact by definition (the SI brochure, NIST Special Publication 811, appendix B). Currencies are kinds of
their own: what one is worth in another changes by the day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from twofold.metrics.spellings import UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit of measure."""

    kind: str
    """What it measures, such as ``length``; units of one kind convert into each other."""
    factor: Fraction
    """One of it in the first unit of its kind."""
    offset: Fraction = Fraction(0)
    """Its zero in the first unit of its kind, for temperatures."""

    def base(self, value: Fraction) -> Fraction:
        """A value of this unit in the first unit of its kind."""
        return value * self.factor + self.offset


_TABLE = {
    "length": "m=1 km=1000 cm=.01 mm=.001 μm=.000001 nm=.000000001 inch=.0254 ft=.3048 yd=.9144 mile=1609.344",
    "mass": "kg=1 g=.001 mg=.000001 μg=.000000001 t=1000 lb=.45359237 oz=.028349523125",
    "time": "s=1 ms=.001 min=60 h=3600 day=86400 week=604800",
    # Months and years have no fixed length in days; a year has twelve months.
    "calendar": "month=1 year=12 decade=120 century=1200",
    "area": "m^2=1 km^2=1000000 cm^2=.0001 mm^2=.000001 ha=10000 acre=4046.8564224 ft^2=.09290304 inch^2=.00064516",
    # The gallon, quart and spoon of the United States.
    "volume": "l=1 ml=.001 cl=.01 dl=.1 m^3=1000 cm^3=.001 gal=3.785411784 qt=.946352946 tbsp=.01478676478125 "
    "tsp=.00492892159375",
    "speed": "m/s=1 km/h=5/18 mph=.44704 kn=463/900",
    "power": "W=1 mW=.001 kW=1000 MW=1000000 GW=1000000000",
    "energy": "J=1 kJ=1000 MJ=1000000 Wh=3600 kWh=3600000 MWh=3600000000 cal=4.184 kcal=4184",
    "pressure": "Pa=1 hPa=100 kPa=1000 MPa=1000000 bar=100000 mbar=100 atm=101325",
    "frequency": "Hz=1 kHz=1000 MHz=1000000 GHz=1000000000",
    "voltage": "V=1 mV=.001 kV=1000",
    "current": "A=1 mA=.001",
    "resistance": "Ω=1 kΩ=1000 MΩ=1000000",
    "data": "B=1 kB=1000 MB=1000000 GB=1000000000 TB=1000000000000 KiB=1024 MiB=1048576 GiB=1073741824",
    "share": "%=.01 permille=.001 ppm=.000001",
}  # fmt: skip
_KNOWN = {
    name: Unit(kind=kind, factor=Fraction(factor))
    for kind, row in _TABLE.items()
    for name, factor in re.findall(r"(\S+)=(\S+)", row)
} | {
    # In kelvin; a degree alone is an angle.
    "K": Unit(kind="temperature", factor=Fraction(1)),
    "°C": Unit(kind="temperature", factor=Fraction(1), offset=Fraction("273.15")),
    "°F": Unit(kind="temperature", factor=Fraction(5, 9), offset=Fraction("273.15") - Fraction(160, 9)),
    "°": Unit(kind="angle", factor=Fraction(1)),
}
_NAMES = {
    "mile": "miles mi milles meile meilen", "yd": "yard yards", "inch": "inches zoll pulgada pulgadas",
    "ft": "pieds fuß",
    "day": "days d tag tage tagen jour jours día días dia dias giorno giorni dag dagen 天 日",
    "week": "weeks wk wks woche wochen semaine semaines semana semanas settimana settimane weken 周",
    "month": "months monat monate monaten mois mes meses mese mesi maand maanden 个月",
    "year": "years yr yrs jahr jahre jahren ans année années año años ano anos anno anni jaar 年",
    "decade": "decades", "century": "centuries", "ms": "msec millisecond milliseconds",
    "h": "stunde stunden std heure heures hora horas ora ore uur 小时 小時",
    "min": "minuten minuto minutos minuti 分钟 分鐘",
    "s": "sekunde sekunden seconde secondes segundo segundos secondo secondi 秒",
    "m": "metros metro metri mètre mètres 米", "km": "kilomètre kilomètres kilómetro kilómetros chilometri 公里 千米",
    "cm": "厘米", "mm": "毫米", "kg": "公斤 千克", "g": "gramm gramos grammi 克",
    "t": "ton tons tonnen tonelada toneladas tonnellate 吨", "l": "litres litro litros litri 升",
    "acre": "acres ac", "ha": "hektar hectáreas ettari 公顷", "mph": "mi/h", "km/h": "kph kmh kmph", "kn": "knot knots",
    "m/s": "mps", "kWh": "kwh", "kcal": "kcals", "GB": "gigabyte gigabytes", "MB": "megabyte megabytes",
    "kB": "kilobyte kilobytes KB", "TB": "terabyte terabytes", "B": "byte bytes",
    "%": "percent pct prozent procent 百分", "permille": "‰", "K": "kelvin", "°": "degree degrees grad",
}  # fmt: skip
_ALIASES = {name: sign for sign, names in _NAMES.items() for name in names.split(" ")}
_CURRENCIES = {
    "$": "usd dollar dollars 美元", "€": "eur euro euros 欧元", "£": "gbp", "¥": "jpy yen", "₹": "inr rupee rupees",
    "CHF": "chf franken", "CNY": "cny rmb yuan 元 人民币",
    "SEK": "sek", "NOK": "nok", "DKK": "dkk", "PLN": "pln zł zloty", "CAD": "cad", "AUD": "aud",
}  # fmt: skip
_MONEY = {name: sign for sign, names in _CURRENCIES.items() for name in (sign, *names.split(" "))}
_POWERS = {"²": "^2", "³": "^3"}
_SQUARE = re.compile(r"(?:square|sq\.?|quadrat)\s?(\w+)", re.IGNORECASE)
_CUBIC = re.compile(r"(?:cubic|cu\.?|kubik)\s?(\w+)", re.IGNORECASE)
_PER = re.compile(r"\s?(?:/|\bper\b|\bpro\b|\bpar\b|\bpor\b)\s?", re.IGNORECASE)


def unit_of(name: str) -> Unit | None:
    """The unit of a name or sign, whole or in parts (``km per hour``, ``square metres``); None for any other word."""
    bare = name.strip().rstrip(".")
    for power, sign in _POWERS.items():
        bare = bare.replace(power, sign)
    for pattern, sign in ((_SQUARE, "^2"), (_CUBIC, "^3")):
        if match := pattern.fullmatch(bare):
            bare = f"{_sign(match[1])}{sign}"
    parts = _PER.split(bare)
    if len(parts) == 2 and all(parts):
        bare = "/".join(map(_sign, parts))
    sign = _sign(bare)
    if sign in _KNOWN:
        return _KNOWN[sign]
    if sign in _MONEY.values():
        return Unit(kind=sign, factor=Fraction(1))
    # A rate of two known units that the table lacks, such as kg/ha, is a unit of its own.
    over = [_KNOWN.get(part) for part in sign.split("/")]
    if len(over) == 2 and over[0] is not None and over[1] is not None:
        return Unit(kind=f"{over[0].kind} per {over[1].kind}", factor=over[0].factor / over[1].factor)
    return None


def _sign(name: str) -> str:
    """The one sign of a unit that is written so; the name itself where it is none."""
    # As it stands first: MB is no mb, and mW no MW.
    for known in (name, name.lower()):
        for table in (_KNOWN, _MONEY, _ALIASES):
            if known in table:
                return known if table is _KNOWN else table[known]  # type: ignore[return-value]
        if known in UNITS:
            return _ALIASES.get(UNITS[known], UNITS[known])
    return name
