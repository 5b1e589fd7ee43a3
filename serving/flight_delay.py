"""Answers of the flight delay use case."""

from larder.contracts.answer import Answer

answer = Answer(
    label_table="late_arrivals",
    probability="late_probability",
    decision="is_late_expected",
    # Without the state of its airport a flight looks like the average one; an unknown plane is common and harmless.
    essential=("origin_departures",),
    max_absent_share=0.5,
    max_out_of_bounds_share=0.1,
    example={
        "origin": "JFK",
        "destination": "LAX",
        "carrier": "UA",
        "tail_number": "N14228",
        "scheduled_departure_at": "2013-12-28T18:00:00Z",
        "scheduled_arrival_at": "2013-12-29T00:05:00Z",
        "distance_miles": 2475.0,
    },
)
