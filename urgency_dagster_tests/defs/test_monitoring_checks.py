import dagster as dg

from urgency_dagster.defs.monitoring_checks import no_drift, shares_as_in_validation
from urgency_dagster.scoring import Drift, Monitoring, ShareComparison
from urgency_dagster.urgency import CallCount

DRIFT = Drift(auroc=0.8, interval=(0.7, 0.9), threshold=0.62, calls=40, training_calls=200)
SHARE = ShareComparison("상", CallCount(30, 40), (0.6, 0.9), CallCount(50, 200), (0.2, 0.3))
SAME = ShareComparison("하", CallCount(5, 40), (0.1, 0.3), CallCount(50, 200), (0.2, 0.3))


def monitoring(drift: Drift | None = None, *shares: ShareComparison) -> Monitoring:
    return Monitoring(drift, shares, "" if drift else "the archive has 3 calls", {"alarmed": "no call has it"})


def test_drift_warns_with_the_figure_the_interval_and_a_remedy() -> None:
    check = no_drift(monitoring(DRIFT))
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(check.description).startswith(
        "AUROC 0.800 (95 % interval 0.700 to 0.900), above the threshold 0.620. Remedy: "
    )
    assert {name: value.value for name, value in check.metadata.items()} == {
        "measured": True,
        "auroc": 0.8,
        "threshold": 0.62,
        "calls": 40,
        "training_calls": 200,
        "interval_low": 0.7,
        "interval_high": 0.9,
    }


def test_an_auroc_at_the_threshold_passes() -> None:
    check = no_drift(monitoring(Drift(auroc=0.6, interval=None, threshold=0.6, calls=40, training_calls=200)))
    assert check.passed
    assert check.description == "AUROC 0.600, at most the threshold 0.600."


def test_what_is_not_measured_passes_and_says_why() -> None:
    check = no_drift(monitoring())
    assert check.passed
    assert check.description == "Not measured: the archive has 3 calls."
    assert check.metadata["measured"].value is False


def test_a_share_apart_warns_with_both_intervals() -> None:
    check = shares_as_in_validation(monitoring(None, SHARE, SAME))
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(check.description).startswith(
        "상: 30 of 40 calls (75.0 %, 60.0 to 90.0 %); validation: 50 of 200 calls (25.0 %, 20.0 to 30.0 %). Remedy: "
    )
    assert "| alarmed | no call has it |" in str(check.metadata["not_compared"].value)
    assert "| 하 |" in str(check.metadata["shares"].value)


def test_shares_that_agree_or_cannot_be_compared_pass() -> None:
    assert shares_as_in_validation(monitoring(None, SAME)).description == "The intervals of all shares overlap (1)."
    nothing = shares_as_in_validation(monitoring())
    assert nothing.passed
    assert nothing.description == "Not measured: no share can be compared."
