"""Every notation of a variant, and every wrong one."""

import pytest
from biofm_datasets import Change, DataError, NoProteinError, parse_variant

ONE_CHANGE = {
    "A24G": Change(24, "A", "G"),
    " A24G ": Change(24, "A", "G"),
    "p.A24G": Change(24, "A", "G"),
    "p.Ala24Gly": Change(24, "A", "G"),
    "p.(Ala24Gly)": Change(24, "A", "G"),
    "NP_003997.1:p.Trp24Cys": Change(24, "W", "C"),
    "ENSP00000354587.3:p.(Trp24Cys)": Change(24, "W", "C"),
    "U46C": Change(46, "U", "C"),
    "p.Cys46Sec": Change(46, "C", "U"),
    "A24A": Change(24, "A", "A"),
    "p.Ala24=": Change(24, "A", "A"),
    "A24del": Change(24, "A", ""),
    "A24-": Change(24, "A", ""),
    "p.Ala24del": Change(24, "A", ""),
    "A24_T30del": Change(24, "A?????T", ""),
    "p.(Pro458_Gly460del)": Change(458, "P?G", ""),
    "A24_T25insGP": Change(24, "AT", "AGPT"),
    "p.Ala24_Thr25insGlyPro": Change(24, "AT", "AGPT"),
    "A24delinsGP": Change(24, "A", "GP"),
    "A24_T26delinsGP": Change(24, "A?T", "GP"),
    "p.Arg76_Cys77delinsSerTrp": Change(76, "RC", "SW"),
    "A24dup": Change(24, "A", "AA"),
    "p.Ala3_Ser5dup": Change(3, "A?S", "A?SA?S"),
}


@pytest.mark.parametrize("text", ONE_CHANGE)
def test_every_notation_is_read(text: str) -> None:
    assert parse_variant(text) == (ONE_CHANGE[text],)


@pytest.mark.parametrize("text", ["WT", "wt", "_wt", "p.=", "p.(=)", "=", "wild-type"])
def test_the_wild_type_has_no_change(text: str) -> None:
    assert parse_variant(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "A24G:T30P",
        "A24G;T30P",
        "A24G,T30P",
        "A24G/T30P",
        "A24G+T30P",
        "A24G, T30P",
        "A24G T30P",
        "T30P:A24G",
        "p.A24G;p.T30P",
        "p.[Ala24Gly;Thr30Pro]",
        "p.[(Ala24Gly;Thr30Pro)]",
        "p.[(Ala24Gly);(Thr30Pro)]",
    ],
)
def test_several_changes_are_read_in_order_of_position(text: str) -> None:
    assert parse_variant(text) == (Change(24, "A", "G"), Change(30, "T", "P"))


WRONG = {
    "": "the variant is empty",
    "()": "the variant is empty",
    "24": "biofm does not read this notation",
    "A24": "biofm does not read this notation",
    "a24g": "biofm does not read this notation",
    "AG24": "biofm does not read this notation",
    "A24foo": "biofm does not read this notation",
    "A24G:": "biofm does not read this notation",
    "A24_T25ins": "biofm does not read this notation",
    "A24_T25ins23": "biofm does not read this notation",
    "c.76A>T": "biofm does not read this notation",
    "A99999999999999999999G": "biofm does not read this notation",
    "A24GP": "one residue changes into several",
    "A24_T26GP": "several residues change into others",
    "A24insG": "needs both its neighbours",
    "A24_T30insG": "stands between two neighbours",
    "T30_A24del": "a range has its lower position first",
    "A24_A24del": "a range has its lower position first",
    "A24_T999999999del": "more than any protein",
    "A0G": "positions count from 1",
    "A0_T1insG": "positions count from 1",
    "J24G": "'J' is no amino acid",
    "Alx24Gly": "'Alx' is no amino acid",
    "A24X": "X, which stands for any amino acid or, in old notation, a stop codon",
    "A24B": "'B' is no amino acid",
    "A24*": "a stop codon",
    "p.Trp24Ter": "a stop codon",
    "A24_T25insG*": "a stop codon",
    "p.Ala24fs": "a frameshift",
    "p.Arg97ProfsTer23": "a frameshift",
    "p.Met1ext-5": "an extension",
    "p.Ter110GlnextTer17": "an extension",
    "p.0": "an unknown consequence",
    "p.?": "an unknown consequence",
    "p.0?": "an unknown consequence",
    "p.Met1?": "an unknown consequence",
    "M1?": "an unknown consequence",
    "p.(Gln151Thrfs*9)": "a frameshift",
    "R97fs": "a frameshift",
    "p.Ile327Argfs*?": "a frameshift",
    "p.Met1ValextMet-12": "an extension",
    "*110Glnext*17": "an extension",
    "NA": "the variant is empty",
    "nan": "the variant is empty",
    "<NA>": "the variant is empty",
    "-": "the variant is empty",
    "A24G:A24G": "the change at position 24 occurs twice",
    "A24G:A24P": "two changes concern position 24",
    "A24_T30del:G26P": "two changes concern position 26",
}


@pytest.mark.parametrize(
    "text",
    ["K2R next", "extra", "K2R/offset", "mktfsyi", "K2R?", "K2?", "MKTYI?", "K2fsR", "offs"],
)
def test_what_only_looks_like_a_consequence_is_a_fault(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_variant(text)
    assert not isinstance(error.value, NoProteinError)


@pytest.mark.parametrize("text", WRONG)
def test_every_wrong_variant_is_one_clear_error(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_variant(text)
    assert WRONG[text] in error.value.what
    assert repr(text) in error.value.what
    assert error.value.remedy


def test_a_whole_sequence_in_place_of_a_variant_gets_the_remedy_that_helps() -> None:
    with pytest.raises(DataError) as error:
        parse_variant("MKTAYIAKQR" * 10)
    assert "--mutated-column" in error.value.remedy
    assert len(str(error.value)) < 200
