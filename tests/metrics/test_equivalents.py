"""What is written in another way is the same answer; what looks alike and means another is not."""

from __future__ import annotations

import pytest

from twofold.metrics.overlap import AnswerF1, Contains, ExactMatch
from twofold.plugins import protocols

ANSWER, EXACT, CONTAINS = (one(protocols.Options()) for one in (AnswerF1, ExactMatch, Contains))

SAME = [
    ("2031-07-04", "2031/07/04"),
    ("2031-07-04", "20310704"),
    ("2031-07", "July 2031"),
    ("4 July 2031", "4. Juli 2031"),
    ("4 July 2031", "4 juillet 2031"),
    ("4 July 2031", "4 de julio de 2031"),
    ("October 1911", "ottobre 1911"),
    ("Q2 2031", "the second quarter of 2031"),
    ("Q2 2031", "2031-Q2"),
    ("8:00-16:30", "from 8 am to 4:30 pm"),
    ("Tuesday to Thursday", "Tue-Thu"),
    ("12:00", "noon"),
    ("2018-19", "2018-2019"),
    ("79 BC", "79 BCE"),
    ("3/8", "three eighths"),
    ("2.5", "2½"),
    ("2.5", "2 1/2"),
    ("1/2", "one half"),
    ("6-9 weeks", "from 6 to 9 weeks"),
    ("90 days", "90-day"),
    ("1 hour", "one hour"),
    ("1", "One."),
    ("2.000.000", "2,000,000"),
    ("3,5 Mio. €", "3.5 million euros"),
    ("7 bn", "7 billion"),
    ("about 70", "~70"),
    ("about 70", "roughly 70"),
    (">= 7", "at least 7"),
    ("<= 7 kg", "up to 7 kg"),
    ("> 7", "more than 7"),
    (">= 7", "7 or more"),
    ("65 mph", "65 miles per hour"),
    ("65 km/h", "65 kph"),
    ("40 °C", "40C"),
    ("40 °C", "40 degrees centigrade"),
    ("6 ft 2 in", "6'2\""),
    ("250 µg", "250 mcg"),
    ("40 Ω", "40 ohm"),
    ("+44 20 7946 0958", "+44 (0)20 7946 0958"),
    ("+44 20 7946 0958", "+442079460958"),
    ("(555) 0142", "555-0142"),
    ("v4.2", "4.2"),
    ("GX-41", "GX 41"),
    ("stage III", "stage 3"),
    ("World War I", "World War 1"),
    ("3:2", "3 : 2"),
    ("2^8", "2**8"),
    ("https://ab.org/x", "ab.org/x"),
    ("14 sq ft", "14 square feet"),
    ("8 m³", "8 cubic metres"),
    ("9x", "9-fold"),
    ("20 x 30 cm", "20×30 cm"),
    ("Henry VIII", "Henry the Eighth"),
    ("Rocky IV", "Rocky 4"),
    ("Fig. 6", "figure 6"),
    ("Section 90", "§ 90"),
    ("pp. 7-9", "pages 7-9"),
    ("#4", "No. 4"),
    ("R&D", "R & D"),
    ("Thursday", "Thurs."),
    ("21+", ">= 21"),
    ("5/8", "\\frac{5}{8}"),
    ("0.625", "$\\frac{5}{8}$"),
    ("1 234 567,89", "1234567.89"),
    ("SEK 60", "60 SEK"),
    ("30 Swiss francs", "CHF 30"),
    ("no", "Nope"),
    ("yes", "Yeah."),
    ("İzmir", "izmir"),
    ("£7.50", "7.50 pounds"),
    ("12", "a dozen"),
    ("n = 8", "n is 8"),
    ("HDMI-A", "HDMI A"),
    ("every other month", "every second month"),
]


@pytest.mark.parametrize(("reference", "answer"), [*SAME, *((two, one) for one, two in SAME)])
def test_the_same_thing_written_in_another_way(reference: str, answer: str) -> None:
    assert [metric.compare(answer, reference) for metric in (ANSWER, CONTAINS)] == [1, 1]


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("v4.20", "v4.2"),
        ("release 4.2", "release 4.20"),
        ("2031-07-04", "2031/04/07"),
        ("2031-07", "June 2031"),
        ("4 July 2031", "4. Juni 2031"),
        ("Q2 2031", "third quarter of 2031"),
        ("2018-19", "2018-2018"),
        ("2/4", "1/2"),
        ("9-6 weeks", "from 6 to 9 weeks"),
        ("stage III", "stage 4"),
        (">= 7", "more than 7"),
        ("> 7", "less than 7"),
        ("+44 20 7946 0958", "+44 20 7946 0959"),
        ("GX-41", "GX 14"),
        ("8:00-16:30", "from 8 am to 4:30 am"),
        ("40 °C", "40 °F"),
        ("5!", "5"),
        ("git pull", "git pull --force"),
        ("CHF 30", "EUR 30"),
        ("30 kr", "30 €"),
        ("Henry VIII", "Henry the Seventh"),
        ("Rocky II", "Rocky 3"),
        ("§ 90", "§ 91"),
        ("Fig. 6", "Fig. 7"),
        ("14 sq ft", "14 sq m"),
        ("8 m³", "8 m²"),
        ("20 x 30 cm", "20 x 13 cm"),
        ("21+", "<= 21"),
        ("5/8", "\\frac{8}{5}"),
        ("Dakota", "North Dakota"),
        ("Guinea", "New Guinea"),
        ("Oslo", "Oslo? No, Bergen."),
    ],
)
def test_another_thing_that_looks_alike(reference: str, answer: str) -> None:
    assert EXACT.compare(answer, reference) == 0
    assert CONTAINS.compare(answer, reference) == 0
    assert ANSWER.compare(answer, reference) < 0.5


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("before 1870", "after 1870"),
        ("at least 7 days", "at most 7 days"),
        ("the left bank", "the right bank"),
        ("Ann hired Bob", "Bob hired Ann"),
        ("The cat chased the dog", "The dog chased the cat"),
        ("from Oslo to Rome", "from Rome to Oslo"),
        ("Bank of Norway", "Bank of Japan"),
        ("Lake Garda", "Lake Como"),
        ("6 May", "6 June"),
        ("the permit is valid", "the permit is invalid"),
        ("a regular verb", "an irregular verb"),
        ("useful notes", "useless notes"),
        ("download speed", "upload speed"),
        ("decode the message", "encode the message"),
        ("the vote passed", "the vote failed"),
        ("he lowered the rent", "he raised the rent"),
        ("the tenant pays", "the landlord pays"),
        ("once a week", "once a month"),
        ("twice a week", "once a week"),
        ("the third floor", "the fourth floor"),
        ("page 11", "chapter 11"),
        ("a brown bag", "a black bag"),
        ("The fair opens on Friday", "The fair opens on Sunday"),
        ("She grew up in Norway", "She grew up in Sweden"),
        ("The race of 1908 was won by Smith", "The race of 1908 was won by Jones"),
        ("AA cell", "AAA cell"),
        ("45 days is the limit", "40 days is the limit"),
        ("tea and honey", "honey"),
        ("gross weight", "net weight"),
        ("every other month", "every month"),
        ("git add .", "git add -u"),
        ("tea, milk and honey", "milk"),
        ("A and D", "D"),
    ],
)
def test_shared_words_do_not_make_a_contrary_right(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) < 0.5


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("Ann and Bob", "Bob and Ann"),
        ("Garda Lake", "Lake Garda"),
        ("World Health Organisation", "World Health Organization"),
        ("big red dog", "the red big dog"),
        ("5! ways", "There are 5! ways."),
        ("O(n log n)", "The complexity is O(n log n)."),
        ("git pull", "Use git pull -- it fetches."),
        ("tea and honey", "honey and tea"),
        ("tea, milk and honey", "milk, honey"),
        ("Bergen, Norway", "Bergen"),
        ("The American fleet", "The US fleet"),
        ("Guests must pay", "Visitors must pay"),
        ("the American navy", "the US navy"),
        ("Curie", "Marie Curie"),
        ("17", "9 + 8 = 17"),
        ("√7", "sqrt(7)"),
    ],
)
def test_another_order_or_spelling_of_the_same_is_right(reference: str, answer: str) -> None:
    assert ANSWER.compare(answer, reference) >= 0.5
