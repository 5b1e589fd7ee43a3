"""How the shop's answers read."""

from larder.contracts.answer import Answer

answer = Answer(
    label_table="returned_orders",
    probability="return_probability",
    decision="is_return_expected",
    essential=("buyer_orders",),
    example={"buyer": "b1", "amount": 25.0},
)
