"""Who a certificate says that its holder is."""

import pytest

from gateway.core.subjects import subject_of


def subject(*parts):
    return {"subject": tuple(((name, value),) for name, value in parts)}


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        (None, ""),
        ({}, ""),
        (subject(("commonName", "alice")), "CN=alice"),
        (
            subject(("countryName", "DE"), ("organizationName", "Acme"), ("commonName", "a")),
            "CN=a,O=Acme,C=DE",
        ),
        ({"subject": ((("commonName", "a"), ("userId", "7")),)}, "CN=a+UID=7"),
        (subject(("serialNumber", "9")), "serialNumber=9"),
        # What would read as another part, or as another line, does not.
        (subject(("commonName", "a,O=Root")), "CN=a\\,O\\=Root"),
        (subject(("commonName", "a\nb")), "CN=a\\0ab"),
        (subject(("commonName", "#a ")), "CN=\\#a\\ "),
        ({"subjectAltName": (("DNS", "b"), ("URI", "spiffe://x/a"))}, "URI:spiffe://x/a"),
        ({"subjectAltName": (("DNS", "b"), ("DNS", "c"))}, "DNS:b"),
        ({"subjectAltName": (("email", "b"),)}, ""),
    ],
)
def test_the_subject_is_one_line(certificate, told):
    assert subject_of(certificate) == told


def test_different_subjects_read_differently():
    one = subject(("organizationName", "a"), ("commonName", "b"))
    other = subject(("commonName", "b,O=a"))
    assert subject_of(one) != subject_of(other)
