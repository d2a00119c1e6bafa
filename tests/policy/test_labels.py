"""Labels are sets, and two rules name which of them do not come together."""

from biofm.policy import LETTERS, NEVER_TOGETHER, ONLY_WITH_APPROVAL, Labels, letters_of
from biofm.policy.labels import WORDS, describe_labels


def test_every_label_has_a_letter_and_a_meaning() -> None:
    assert set(LETTERS.values()) == set(Labels)
    assert set(WORDS) == set(LETTERS)


def test_the_letters_of_labels_have_one_order() -> None:
    assert letters_of(Labels.EXTERNAL | Labels.UNTRUSTED) == "UE"
    assert letters_of(Labels.NONE) == ""
    assert letters_of(NEVER_TOGETHER) == "PXE"
    assert letters_of(ONLY_WITH_APPROVAL) == "UPE"


def test_labels_are_described_in_words() -> None:
    assert describe_labels(Labels.NONE) == "no label"
    assert describe_labels(Labels.PRIVATE) == "P (private data)"
    assert describe_labels(ONLY_WITH_APPROVAL) == (
        "U (untrusted input), P (private data) and E (external communication)"
    )
