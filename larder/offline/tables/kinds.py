"""Kinds of Arrow types: what may differ in width, layout or unit and still be the same kind of value."""

import pyarrow as pa
import pyarrow.compute as pc

INSTANT = pa.timestamp("us", tz="UTC")


def is_same_kind(wanted: pa.DataType, found: pa.DataType) -> bool:
    """Whether the two differ in width, layout or unit at most."""
    if pa.types.is_null(found) or wanted == found:
        return True
    if pa.types.is_dictionary(found):
        return is_same_kind(wanted, found.value_type)
    if is_list(wanted):
        return is_list(found) and is_same_kind(wanted.value_type, found.value_type)
    if pa.types.is_map(wanted):
        return (
            pa.types.is_map(found)
            and is_same_kind(wanted.key_type, found.key_type)
            and is_same_kind(wanted.item_type, found.item_type)
        )
    if pa.types.is_struct(wanted):
        return pa.types.is_struct(found) and _have_same_kinds(parts(wanted), parts(found))
    if pa.types.is_timestamp(wanted):
        return pa.types.is_timestamp(found) and (wanted.tz is None) == (found.tz is None)
    return any(is_kind(wanted) and is_kind(found) for is_kind in _KINDS)


def plain(dtype: pa.DataType) -> pa.DataType:
    """`dtype` as Feast and every Arrow library know it: no views, no large offsets, no fixed sizes."""
    if is_text(dtype):
        return pa.string()
    if is_bytes(dtype):
        return pa.binary()
    if pa.types.is_dictionary(dtype):
        return plain(dtype.value_type)
    if is_list(dtype):
        return pa.list_(plain(dtype.value_type))
    if pa.types.is_map(dtype):
        return pa.map_(plain(dtype.key_type), plain(dtype.item_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(name, plain(part)) for name, part in parts(dtype).items()])
    return dtype


def without_views(dtype: pa.DataType) -> pa.DataType:
    """`dtype` with texts and bytes, also those inside it, in a layout that Arrow's kernels can take from."""
    if pa.types.is_string_view(dtype):
        return pa.large_string()
    if pa.types.is_binary_view(dtype):
        return pa.large_binary()
    if is_list(dtype):
        return pa.list_(without_views(dtype.value_type))
    if pa.types.is_map(dtype):
        return pa.map_(without_views(dtype.key_type), without_views(dtype.item_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(name, without_views(part)) for name, part in parts(dtype).items()])
    return dtype


def in_utc(dtype: pa.DataType) -> pa.DataType:
    """`dtype` with every timestamp in it, naive ones too, as UTC microseconds."""
    if pa.types.is_timestamp(dtype):
        return INSTANT
    if is_list(dtype):
        return pa.list_(in_utc(dtype.value_type))
    if pa.types.is_map(dtype):
        return pa.map_(dtype.key_type, in_utc(dtype.item_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(name, in_utc(part)) for name, part in parts(dtype).items()])
    return dtype


def storable(dtype: pa.DataType) -> pa.DataType:
    """`dtype` as Delta and Parquet files keep it: microseconds, plain layouts, and text for a column of nulls."""
    if pa.types.is_null(dtype):
        return pa.string()
    if pa.types.is_timestamp(dtype):
        return pa.timestamp("us", tz=dtype.tz and "UTC")
    if is_list(dtype):
        return pa.list_(storable(dtype.value_type))
    if pa.types.is_map(dtype):
        return pa.map_(storable(dtype.key_type), storable(dtype.item_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(name, storable(part)) for name, part in parts(dtype).items()])
    return plain(dtype)


def feast_name(dtype: pa.DataType) -> str:
    """`dtype` as Feast spells it when it infers a schema; numbers that Feast has not are named by wider ones."""
    wider = {pa.int8(): pa.int32(), pa.int16(): pa.int32(), pa.uint8(): pa.int32(), pa.uint16(): pa.int32()}
    wider |= {pa.uint32(): pa.int64(), pa.float16(): pa.float32(), pa.date32(): INSTANT, pa.date64(): INSTANT}
    return str(plain(wider.get(dtype, dtype)))


def is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def is_bytes(dtype: pa.DataType) -> bool:
    views = pa.types.is_binary_view(dtype) or pa.types.is_fixed_size_binary(dtype)
    return bool(views or pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype))


def is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype))


def has_overflowed(cast: pa.ChunkedArray, values: pa.ChunkedArray) -> bool:
    """Whether some number of `values`, at whatever depth, became infinite in `cast`.

    Arrow's cast to fewer bits rounds, as wanted, but makes what is beyond their range infinite.
    """
    return bool(cast.type != values.type and _infinities(cast) != _infinities(values))


def _infinities(values: pa.ChunkedArray) -> int:
    if pa.types.is_dictionary(values.type):
        return _infinities(values.cast(values.type.value_type))
    if is_list(values.type):
        return _infinities(pc.list_flatten(values))
    if pa.types.is_struct(values.type):
        return sum(map(_infinities, values.flatten()))
    return pc.sum(pc.is_inf(values)).as_py() or 0 if pa.types.is_floating(values.type) else 0


_KINDS = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_date,
    is_text,
    is_bytes,
)


def _have_same_kinds(wanted: dict[str, pa.DataType], found: dict[str, pa.DataType]) -> bool:
    return wanted.keys() == found.keys() and all(is_same_kind(part, found[name]) for name, part in wanted.items())


def parts(struct: pa.DataType) -> dict[str, pa.DataType]:
    return {struct.field(position).name: struct.field(position).type for position in range(struct.num_fields)}
