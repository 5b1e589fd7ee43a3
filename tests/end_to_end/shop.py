"""Raw files of the second use case: a small shop."""

import csv
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def write_shop(folder: Path, *, days: int = 60, orders: int = 4_000, seed: int = 7) -> None:
    """Orders by forty buyers; every fourth buyer sends most things back."""
    chance = random.Random(seed)
    buyers = [f"b{number}" for number in range(40)]
    folder.mkdir(parents=True)
    with (folder / "buyers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["buyer", "country", "joined_at"])
        rows.writerows([buyer, chance.choice(["NL", "DE", "FR"]), "2023-06-01T00:00:00Z"] for buyer in buyers)
    with (folder / "orders.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["order_id", "buyer", "amount", "placed_at", "returned_at"])
        for number in range(orders):
            placed = FIRST + timedelta(minutes=chance.randrange(days * 24 * 60))
            buyer = chance.randrange(40)
            is_returned = chance.random() < (0.8 if buyer % 4 == 0 else 0.05)
            returned = placed + timedelta(minutes=chance.randrange(60, 5 * 24 * 60))
            amount = f"{chance.uniform(5, 80):.2f}"
            rows.writerow(
                [f"o{number}", buyers[buyer], amount, placed.isoformat(), returned.isoformat() if is_returned else ""]
            )
        rows.writerow(["o-broken", "b1", "twelve", FIRST.isoformat(), ""])
