"""Flight delay: the question, what errors cost, and what a model must reach before it answers passengers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from larder.contracts.objective import Card, Gate, Kpi, Label, Objective, Slice
from larder.contracts.retraining import Retraining, TrainingWindow, Trigger

NEW_YORK = ZoneInfo("America/New_York")
SEED = 2013

CALENDAR = ("departure_hour", "departure_weekday", "scheduled_minutes", "route_miles")


def pipeline(numbers: Sequence[str], strings: Sequence[str]) -> Pipeline:  # noqa: ARG001 - all inputs are numbers
    """Gradient boosted trees, which take null as a value of its own; nothing is imputed or scaled.

    Chosen inside the training months only, in time's order: fit before June and judge on June-July, fit before
    August and judge on August-September. Mean ROC-AUC / log loss there:
        scikit-learn's defaults, rate .05, 150 trees      .7812 / .4455   (300 trees: .7794 / .4483)
        leaves of at least 200, a fifth of the features per split, 300 trees      .7850 / .4433
    """
    trees = HistGradientBoostingClassifier(
        max_iter=300,
        learning_rate=0.05,
        max_leaf_nodes=31,
        min_samples_leaf=200,
        max_features=0.2,
        # Early stopping would hold out rows at random, that is, learn from the days it is judged on.
        early_stopping=False,
        random_state=SEED,
    )
    return Pipeline([("trees", trees)])


objective = Objective(
    question="How likely is it, one hour before scheduled departure, that a flight arrives more than 15 minutes late?",
    label=Label(
        table="late_arrivals",
        column="is_late",
        positive="the flight arrives more than 15 minutes late",
        # One hour ahead, six in the air and some delay: half a day later nearly all have landed.
        matures_after=timedelta(hours=12),
    ),
    # Assumptions, per flight; replace them with your own books. Acting means to hold connections, gate and crew
    # ready an hour ahead. In vain that costs about two hours of staff, 150 USD. A late flight without it strands
    # some four connecting passengers, with 150 USD each for rebooking and care.
    kpi=Kpi(
        name="cost of delays",
        unit="USD per flight",
        false_alarm=150.0,
        miss=600.0,
        description="Preparing for a delay that does not come costs 150 USD, one that comes unprepared 600 USD",
    ),
    split_at=datetime(2013, 10, 1, tzinfo=NEW_YORK),
    test_until=datetime(2014, 1, 1, tzinfo=NEW_YORK),
    pipeline=pipeline,
    references={"calendar": CALENDAR},
    gates=(
        Gate("roc_auc", ">=", 0.75),
        Gate("roc_auc", ">=", 0.05, relative_to="calendar"),
        Gate("log_loss", "<=", 0.0, relative_to="calendar"),
        Gate("calibration_error", "<=", 0.05),
        Gate("kpi", "<=", 0.0, relative_to="constant"),
        Gate("roc_auc", ">=", 0.70, slice="origin"),
        # Retraining on almost the same data moves the metrics by about this much.
        Gate("log_loss", "<=", 0.003, relative_to="champion"),
        Gate("roc_auc", ">=", -0.003, relative_to="champion"),
    ),
    slices=(
        Slice("origin", "origin"),
        Slice("carrier", "carrier"),
        Slice("month", "event_timestamp", value=lambda at: f"{at.astimezone(NEW_YORK):%Y-%m}"),
    ),
    seed=SEED,
    card=Card(
        intended_use="Airlines and airports look one hour ahead at a departure from New York and decide whether to "
        "hold connections, gate and crew ready.",
        out_of_scope="Flights from elsewhere, hours other than the last before departure, and decisions about single "
        "persons: no passenger is known to the model.",
        considerations="Whoever is not prepared for waits longer. Carriers and airports differ in how well they are "
        "foretold; the slices say by how much. The costs are assumptions.",
    ),
)

retraining = Retraining(
    # While history is short some more of it teaches much; later it takes months until there is so much more.
    growth=0.4,
    triggers=(
        # Of all answers to callers. Each day looks back on a week of outcomes, so one bad day alarms up to seven times.
        Trigger("quality", "log_loss", k=4, n=7, subject="live"),
        Trigger("quality", "roc_auc", k=4, n=7, subject="live"),
        # Of probabilities, days before outcomes are known. A storm moves them for some days and passes.
        Trigger("drift", "psi", k=7, n=7, subject="prediction"),
    ),
    # Schedules, fleets and seasons change, also where no monitor notices. In the replay of spring and summer, models of
    # June lagged behind by August.
    expires_after=timedelta(days=60),
    # Every season comes once a year: older months teach about the next winter more than they mislead about today.
    window=TrainingWindow(),
    # A whole week, since weekdays differ; some 6,000 flights tell a difference in log loss of about .003.
    judged_on=timedelta(days=7),
    # A week may be stormy, when no model tells flights apart as over a quarter: limits lie beside what a constant
    # or the champion reaches on the same flights. Two models of almost the same data differ by about .003 and more.
    gates=(
        Gate("roc_auc", ">=", 0.15, relative_to="constant"),
        Gate("log_loss", "<=", 0.0, relative_to="constant"),
        Gate("kpi", "<=", 0.0, relative_to="constant"),
        Gate("calibration_error", "<=", 0.10),
        Gate("log_loss", "<=", 0.005, relative_to="champion"),
        Gate("roc_auc", ">=", -0.01, relative_to="champion"),
    ),
    # About a week of flights, without which the trees (leaves of 200) hardly split.
    minimum_rows=6_000,
    # A new model has to be seen in shadow and under watch before the next one can be called for.
    cool_down=timedelta(days=10),
    most_per_week=1,
)
