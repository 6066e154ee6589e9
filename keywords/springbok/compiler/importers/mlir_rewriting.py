# SPDX-License-Identifier: Apache-2.0
"""Operations of MLIR files that IREE 3.13 computes otherwise than they are defined, put right before it compiles them.

Most are StableHLO's; of other dialects, the functions are. What goes wrong later than this is put right there: see
`springbok.compiler.kernel_repairs`.

Each rewriting has its reason in a line, and is exact; a module without such operations stays as it is, to the byte.
Numbers mean what IEEE 754 and C say, infinities, NaN and the sign of 0 included.

Example::

    with ir.Context():
        module = ir.Module.parse(content)
        if put_right(module):
            ...                             # it is another module now
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from iree.compiler import ir

from springbok.compiler.importers import float_functions
from springbok.compiler.importers.float_functions import FLOATS
from springbok.compiler.mlir import operations, owner, users

#: NumPy's types of MLIR's element types.
NUMBERS = {
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "i1": np.bool_,
    **{f"i{bits}": np.dtype(f"int{bits}").type for bits in (8, 16, 32, 64)},
    **{f"ui{bits}": np.dtype(f"uint{bits}").type for bits in (8, 16, 32, 64)},
}

#: The least and the largest integer that a value may be.
Bounds = tuple[int, int]


def put_right(module: ir.Module) -> bool:
    """Rewrites the operations that need it, and tells whether there were any."""
    changed = False
    for rewritings in (_BY_OTHERS, _REWRITINGS):
        for operation in operations(module):
            rewriting = rewritings.get(operation.name)
            if rewriting is not None and (operation.name in _OF_ELEMENTS or _is_fixed(operation)):
                with ir.InsertionPoint(operation), operation.location:
                    changed |= rewriting(operation)
    return changed


def _is_fixed(operation: ir.Operation) -> bool:
    values = (*operation.operands, *operation.results)
    return all(isinstance(value.type, ir.RankedTensorType) and value.type.has_static_shape for value in values)


# Building


def expand(operation: ir.Operation, operands: Sequence[ir.Value], lines: str, **words: object) -> ir.Value:
    """What StableHLO's text ``lines`` gives as ``%r`` for ``operands``, called ``%0`` and on, before ``operation``.

    In the lines ``{t}`` is the type of the operation's result and ``{b}`` one of booleans in its shape; ``words`` are
    further ones, and ``result`` the type of ``%r`` where that is not ``{t}``.
    """
    if "t" not in words:
        kind = operation.results[0].type
        words = {"t": kind, "b": _like(kind, "i1"), **words}
    return _inlined(operation, operands, lines.format_map(words), words.get("result", words["t"]))


def _inlined(operation: ir.Operation, operands: Sequence[ir.Value], body: str, result: object) -> ir.Value:
    """What the operations ``body`` give as ``%r``, a value of the type ``result``, before ``operation``."""
    arguments = ", ".join(f"%{number}: {value.type}" for number, value in enumerate(operands))
    text = f"func.func @f({arguments}) -> {result} {{\n{body}\nreturn %r : {result}\n}}"
    parsed = ir.Module.parse(text)  # which goes with its last name
    block = parsed.body.operations[0].regions[0].blocks[0]
    known = dict(zip(block.arguments, operands, strict=True))
    with ir.InsertionPoint(operation), operation.location:
        for each in list(block.operations)[:-1]:
            made = each.operation.clone()
            for number, operand in enumerate(each.operands):
                made.operation.operands[number] = known[operand]
            known.update(zip(each.results, made.operation.results, strict=True))
    return known[list(block.operations)[-1].operation.operands[0]]


def _like(kind: ir.RankedTensorType, element: str) -> str:
    return f"tensor<{''.join(f'{size}x' for size in kind.shape)}{element}>"


def _element(value: ir.Value) -> str:
    return str(value.type.element_type)


def _replace(operation: ir.Operation, made: ir.Value) -> bool:
    operation.results[0].replace_all_uses_with(made)
    operation.erase()
    return True


def constant(value: ir.Value) -> np.ndarray | None:
    """The value if it is a constant, spread or not, of a type that NumPy has."""
    operation = owner(value)
    while operation is not None and operation.name in ("stablehlo.broadcast_in_dim", "stablehlo.reshape"):
        if operation.name == "stablehlo.broadcast_in_dim" and operation.operands[0].type.rank:
            return None
        operation = owner(operation.operands[0])
    name = _CONSTANTS.get(operation.name) if operation is not None else None
    if name is None:
        return None
    attribute, kind = operation.attributes[name], operation.results[0].type
    if isinstance(attribute, (ir.FloatAttr, ir.IntegerAttr)):
        return np.array([attribute.value])
    if not isinstance(attribute, ir.DenseElementsAttr) or str(kind.element_type) not in NUMBERS:
        return None
    number = NUMBERS[str(kind.element_type)]
    if attribute.is_splat:
        return np.full((1,), attribute.get_splat_value().value, number)
    return np.array(attribute).astype(number, copy=False)


_CONSTANTS = {"stablehlo.constant": "value", "arith.constant": "value", "tosa.const": "values"}


# Functions


def _function(operation: ir.Operation) -> bool:
    """Functions that IREE gets wrong at their ends: see `float_functions`."""
    element = _element(operation.operands[0])
    if not _is_known(operation, element):
        return False
    return _replace(operation, _written_out(operation, _lines(operation, element), element))


def _is_known(operation: ir.Operation, element: str) -> bool:
    return element == "f32" if operation.name.partition(".")[2] in _PERIODIC else element in FLOATS


def _lines(operation: ir.Operation, element: str) -> str:
    name = operation.name.partition(".")[2]
    if name in ("power", "pow", "powf"):
        known = constant(operation.operands[1])
        return float_functions.power(element, float(known[0]) if known is not None and known.size == 1 else None)
    if name in _PERIODIC:
        return float_functions.periodic(_PERIODIC[name])
    return float_functions.ATAN2 if name == "atan2" else float_functions.CUBE_ROOT


_PERIODIC = {"sine": "sine", "cosine": "cosine", "tan": "tan", "sin": "sine", "cos": "cosine"}


def _written_out(operation: ir.Operation, lines: str, element: str) -> ir.Value:
    kind = operation.results[0].type
    tensors = isinstance(kind, ir.RankedTensorType)
    words = dict(zip(("b", "bits", "whole"), ("i1", *FLOATS[element][:2]), strict=True))
    words = {name: _like(kind, each) if tensors else each for name, each in words.items()}
    return expand(operation, list(operation.operands), lines, t=kind, **words)


def _math(operation: ir.Operation) -> bool:
    """The same of the dialect `math`, of tensors or of the elements of one."""
    kind = operation.results[0].type
    tensors = isinstance(kind, ir.RankedTensorType)
    element = str(kind.element_type if tensors else kind)
    if not _is_known(operation, element) or (tensors and not kind.has_static_shape):
        return False
    lines = float_functions.in_arith(_lines(operation, element), tensors)
    return _replace(operation, _written_out(operation, lines, element))


def _tosa_power(operation: ir.Operation) -> bool:
    """The same of TOSA, whose operands may be spread."""
    kind, element = operation.results[0].type, _element(operation.results[0])
    if element not in FLOATS:
        return False
    axes = [f"d{number}" for number in range(kind.rank)]
    maps = []
    for value in (*operation.operands, operation.results[0]):
        sizes = zip(axes, value.type.shape, kind.shape, strict=True)
        places = ", ".join("0" if size == 1 and whole != 1 else axis for axis, size, whole in sizes)
        maps.append(f"affine_map<({', '.join(axes)}) -> ({places})>")
    bits, whole, _ = FLOATS[element]
    body = float_functions.in_arith(_lines(operation, element), tensors=False)
    for name in ("%0", "%1"):
        body = re.sub(rf"{name}\b", f"%in{name[1:]}", body)
    words = {"t": element, "b": "i1", "bits": bits, "whole": whole}
    first, second = (value.type for value in operation.operands)
    lines = f"""
    %empty = tensor.empty() : {kind}
    %r = linalg.generic {{indexing_maps = [{", ".join(maps)}], iterator_types = [{", ".join(['"parallel"'] * kind.rank)}]}} ins(%0, %1 : {first}, {second}) outs(%empty : {kind}) {{
    ^bb0(%in0: {element}, %in1: {element}, %out: {element}):
    {body.format_map(words)}
    linalg.yield %r : {element} }} -> {kind}
    """  # noqa: E501
    return _replace(operation, _inlined(operation, list(operation.operands), lines, kind))


# Indices


def _gather(operation: ir.Operation) -> bool:
    """IREE reads wherever the indices say; they are to be brought into the tensor, and unsigned ones are taken so."""
    given = operation.operands[0]
    numbers = str(operation.attributes["dimension_numbers"])
    axis, mapped = _number_in(numbers, "index_vector_dim"), _numbers_in(numbers, "start_index_map")
    sizes = _integers(operation.attributes["slice_sizes"])
    last = [given.type.shape[each] - sizes[each] for each in mapped]
    return _bring_inside(operation, axis, last)


def _bring_inside(operation: ir.Operation, axis: int, last: list[int]) -> bool:
    """Brings the indices, its second operand, between 0 and ``last`` for each component along ``axis``."""
    indices = operation.operands[1]
    inside = bounds(indices)
    if inside is not None and inside[0] >= 0 and inside[1] <= min(last, default=0):
        operation.operands[1] = _signed(operation, indices)
        return operation.operands[1] != indices
    least, most = (_beside(operation, indices, axis, limit) for limit in ([0] * len(last), last))
    lines = "%r = stablehlo.clamp %0, %1, %2 : {result}"
    brought = expand(operation, [least, indices, most], lines, result=indices.type)
    operation.operands[1] = _signed(operation, brought)
    return True


def _select_rows(operation: ir.Operation) -> bool:
    """The same of `torch_index_select`."""
    size = operation.operands[0].type.shape[_integer(operation, "dim")]
    return _bring_inside(operation, 0, [size - 1])


def _scatter(operation: ir.Operation) -> bool:
    """IREE writes wherever the indices say; updates that are not wholly inside are to be left out."""
    numbers = str(operation.attributes["scatter_dimension_numbers"])
    count = len(operation.results)
    given, updates = operation.operands[0], operation.operands[count + 1]
    axis, mapped = _number_in(numbers, "index_vector_dim"), _numbers_in(numbers, "scatter_dims_to_operand_dims")
    gone = {*_numbers_in(numbers, "inserted_window_dims"), *_numbers_in(numbers, "input_batching_dims")}
    window = dict.fromkeys(range(given.type.rank), 1)
    kept = (each for each in window if each not in gone)
    window |= dict(
        zip(kept, (updates.type.shape[each] for each in _numbers_in(numbers, "update_window_dims")), strict=True)
    )
    last = [given.type.shape[each] - window[each] for each in mapped]
    inside = bounds(operation.operands[count])
    if not mapped or (inside is not None and inside[0] >= 0 and inside[1] <= min(last)):
        return False
    # What is left out goes to rows that are added to the tensor, and cut off afterwards.
    place, added = mapped[0], window[mapped[0]]
    operation.operands[count] = _inside_or(operation, axis, last, [given.type.shape[place], *[0] * (len(last) - 1)])
    for number in range(count):
        whole = operation.operands[number].type
        shape = [size + added * (each == place) for each, size in enumerate(whole.shape)]
        larger = ir.RankedTensorType.get(shape, whole.element_type)
        lines = (
            "%zero = stablehlo.constant dense<{zero}> : {scalar}\n"
            "%r = stablehlo.pad %0, %zero, low = {none}, high = {high}, interior = {none}"
            " : ({whole}, {scalar}) -> {result}"
        )
        words = {
            "zero": "0.0" if _element(operation.operands[number]) in FLOATS else "0",
            "scalar": f"tensor<{whole.element_type}>",
            "none": [0] * len(shape),
            "high": [added * (each == place) for each in range(len(shape))],
            "whole": whole,
            "result": larger,
        }
        if words["scalar"] == "tensor<i1>":
            words["zero"] = "false"
        operation.operands[number] = expand(operation, [operation.operands[number]], lines, **words)
        operation.results[number].set_type(larger)
        cut = ir.Operation.create(
            "stablehlo.slice",
            [whole],
            [operation.results[number]],
            {
                "start_indices": ir.DenseI64ArrayAttr.get([0] * len(shape)),
                "limit_indices": ir.DenseI64ArrayAttr.get(list(whole.shape)),
                "strides": ir.DenseI64ArrayAttr.get([1] * len(shape)),
            },
        )
        cut.move_after(operation)
        operation.results[number].replace_all_uses_except(cut.result, cut)
    return True


def _inside_or(operation: ir.Operation, axis: int, last: list[int], outside: list[int]) -> ir.Value:
    """The scatter's indices where all of a window's are within 0 and ``last``, else ``outside``."""
    indices = operation.operands[len(operation.results)]
    if _element(indices) not in ("i32", "i64"):
        wide = _like(indices.type, "i64" if _element(indices) in ("ui32", "ui64") else "i32")
        indices = _converted(operation, indices, wide)
    limits = [_beside(operation, indices, axis, limit) for limit in ([0] * len(last), last, outside)]
    i, b = indices.type, _like(indices.type, "i1")
    lines = """
    %low = stablehlo.compare GE, %0, %1 : ({i}, {i}) -> {c}
    %high = stablehlo.compare LE, %0, %2 : ({i}, {i}) -> {c}
    %each = stablehlo.and %low, %high : {c}
    """
    inside = "%each"
    if axis < indices.type.rank and indices.type.shape[axis] > 1:
        inside = "%all"
        others = [each for each in range(indices.type.rank) if each != axis]
        rows = f"tensor<{''.join(f'{indices.type.shape[each]}x' for each in others)}i1>"
        lines += f"""
    %true = stablehlo.constant dense<true> : tensor<i1>
    %rows = stablehlo.reduce(%each init: %true) applies stablehlo.and across dimensions = [{axis}] : ({{c}}, tensor<i1>) -> {rows}
    %all = stablehlo.broadcast_in_dim %rows, dims = {others} : ({rows}) -> {{c}}
    """  # noqa: E501
    lines += f"%r = stablehlo.select {inside}, %0, %3 : {{c}}, {{i}}"
    return expand(operation, [indices, *limits], lines, result=i, i=i, c=b)


def _beside(operation: ir.Operation, indices: ir.Value, axis: int, numbers: list[int]) -> ir.Value:
    """A constant for each component of ``indices``, as far as their type holds it, in their shape."""
    element = _element(indices)
    largest = int(np.iinfo(NUMBERS[element]).max)
    numbers = [min(each, largest) for each in numbers] or [0]
    if len(set(numbers)) == 1:
        return expand(operation, [], f"%r = stablehlo.constant dense<{numbers[0]}> : {{result}}", result=indices.type)
    lines = (
        "%c = stablehlo.constant dense<{numbers}> : {row}\n"
        "%r = stablehlo.broadcast_in_dim %c, dims = [{axis}] : ({row}) -> {result}"
    )
    row = f"tensor<{len(numbers)}x{element}>"
    return expand(operation, [], lines, numbers=numbers, row=row, axis=axis, result=indices.type)


def _signed(operation: ir.Operation, indices: ir.Value) -> ir.Value:
    return _converted(operation, indices, _like(indices.type, "i32")) if _element(indices)[0] == "u" else indices


def _converted(operation: ir.Operation, value: ir.Value, kind: str) -> ir.Value:
    return expand(
        operation, [value], "%r = stablehlo.convert %0 : ({given}) -> {result}", given=value.type, result=kind
    )


def _number_in(text: str, name: str) -> int:
    found = re.search(rf"\b{name} = (\d+)", text)
    return int(found[1]) if found else 0


def _integer(operation: ir.Operation, name: str) -> int:
    return ir.IntegerAttr(operation.attributes[name]).value


def _numbers_in(text: str, name: str) -> list[int]:
    found = re.search(rf"\b{name} = \[([\d, ]*)\]", text)
    return [int(each) for each in found[1].split(",") if each.strip()] if found else []


def _integers(attribute: ir.Attribute) -> list[int]:
    if isinstance(attribute, ir.DenseI64ArrayAttr):
        return list(attribute)
    return [int(each) for each in np.array(ir.DenseIntElementsAttr(attribute)).reshape(-1)]


def bounds(value: ir.Value) -> Bounds | None:
    """Between which integers all elements of ``value`` are, where that can be told."""
    if (known := constant(value)) is not None:
        return (int(known.min()), int(known.max())) if known.size else None
    operation = owner(value)
    found = _BOUNDS.get(operation.name) if operation is not None else None
    return found(value, list(operation.operands)) if found else None


def _of_iota(value: ir.Value, inputs: list[ir.Value]) -> Bounds:
    del inputs
    axis = _integer(owner(value), "iota_dimension")
    return 0, max(value.type.shape[axis] - 1, 0)


def _of_conversion(value: ir.Value, inputs: list[ir.Value]) -> Bounds | None:
    kinds = [NUMBERS.get(_element(each)) for each in (inputs[0], value)]
    if not all(kind is not None and np.issubdtype(kind, np.integer) for kind in kinds):
        return None
    given, limits = bounds(inputs[0]), np.iinfo(kinds[1])
    return given if given and limits.min <= given[0] and given[1] <= limits.max else None


def _of_clamp(value: ir.Value, inputs: list[ir.Value]) -> Bounds | None:
    del value
    low, high = bounds(inputs[0]), bounds(inputs[2])
    return (low[0], high[1]) if low and high and low[1] <= high[0] else None


_MOVES = frozenset(
    f"stablehlo.{name}"
    for name in ("broadcast_in_dim", "concatenate", "dynamic_slice", "reshape", "reverse", "slice", "transpose")
)


def _joined(values: Sequence[ir.Value]) -> Bounds | None:
    each = [bounds(value) for value in values]
    if None in each or not each:
        return None
    return min(low for low, _ in each), max(high for _, high in each)


_BOUNDS: dict[str, Callable[[ir.Value, list[ir.Value]], Bounds | None]] = {
    **dict.fromkeys(_MOVES, lambda _, inputs: bounds(inputs[0])),
    "stablehlo.concatenate": lambda _, inputs: _joined(inputs),
    "stablehlo.select": lambda _, inputs: _joined(inputs[1:]),
    "stablehlo.iota": _of_iota,
    "stablehlo.convert": _of_conversion,
    "stablehlo.clamp": _of_clamp,
}


# Order


def _sort(operation: ir.Operation) -> bool:
    """IREE exchanges neighbours where the comparison does not hold, equal ones too: here only where it must."""
    block = operation.regions[0].blocks[0]
    if len(operation.operands) == 1 and _compares_all(block):
        return False
    pairs = list(block.arguments)
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        for (user, place), other in [
            *((use, second) for use in users(first)),
            *((use, first) for use in users(second)),
        ]:
            user.operands[place] = other
    end = list(block.operations)[-1].operation
    given = end.operands[0]
    with ir.InsertionPoint(end), operation.location:
        end.operands[0] = ir.Operation.create("stablehlo.not", [given.type], [given]).result
    return True


def _top_k(operation: ir.Operation) -> bool:
    """IREE gives other places than the first ones for what is equal."""
    values, places = operation.results
    if not users(places):
        return False
    given, axis = operation.operands[0], values.type.rank - 1
    whole, number = given.type, _element(given)
    order = "TOTALORDER" if number in FLOATS else "UNSIGNED" if number.startswith("u") else "SIGNED"
    lines = """
    %i = stablehlo.iota dim = {axis} : {places}
    %s:2 = "stablehlo.sort"(%0, %i) <{{dimension = {axis} : i64, is_stable = true}}> ({{
    ^bb0(%a: {scalar}, %b: {scalar}, %c: tensor<i32>, %d: tensor<i32>):
      %p = stablehlo.compare GT, %a, %b, {order} : ({scalar}, {scalar}) -> tensor<i1>
      stablehlo.return %p : tensor<i1> }}) : ({whole}, {places}) -> ({whole}, {places})
    %first = stablehlo.slice %s#0 [{part}] : ({whole}) -> {values}
    %r = stablehlo.slice %s#1 [{part}] : ({places}) -> {result}
    """
    words = {
        "axis": axis,
        "places": _like(whole, "i32"),
        "scalar": f"tensor<{number}>",
        "order": order,
        "whole": whole,
        "part": ", ".join(f"0:{size}" for size in values.type.shape),
        "values": values.type,
    }
    taken = expand(operation, [given], lines, result=places.type, **words)
    sort = owner(owner(taken).operands[0])
    first = next(user for user, _ in users(sort.results[0]))
    values.replace_all_uses_with(first.results[0])
    places.replace_all_uses_with(taken)
    operation.erase()
    return True


def _compares_all(block: ir.Block) -> bool:
    """Whether elements that are equal for the comparison are the same, which zeros of two signs and NaN are not."""
    first, *others = block.operations
    first = first.operation
    return (
        _element(block.arguments[0]) not in FLOATS
        and first.name == "stablehlo.compare"
        and len(others) == 1
        and set(first.operands) == set(block.arguments)
        and re.search(r"\b(LT|GT)\b", str(first.attributes["comparison_direction"])) is not None
    )


def _compare(operation: ir.Operation) -> bool:
    """IREE takes the order of all numbers, in which NaN and the signs of zeros have places, for the ordinary one."""
    kind, element = operation.operands[0].type, _element(operation.operands[0])
    if "TOTALORDER" not in str(dict(operation.attributes).get("compare_type")) or element not in FLOATS:
        return False
    bits = FLOATS[element][0]
    direction = re.search(r"\b(EQ|NE|GE|GT|LE|LT)\b", str(operation.attributes["comparison_direction"]))
    lines = """
    %size = stablehlo.constant dense<{size}> : {i}
    %most = stablehlo.constant dense<{most}> : {i}
    %a = stablehlo.bitcast_convert %0 : ({n}) -> {i}
    %as = stablehlo.shift_right_arithmetic %a, %size : {i}
    %am = stablehlo.and %as, %most : {i}
    %ak = stablehlo.xor %a, %am : {i}
    %b = stablehlo.bitcast_convert %1 : ({n}) -> {i}
    %bs = stablehlo.shift_right_arithmetic %b, %size : {i}
    %bm = stablehlo.and %bs, %most : {i}
    %bk = stablehlo.xor %b, %bm : {i}
    %r = stablehlo.compare {direction}, %ak, %bk, SIGNED : ({i}, {i}) -> {t}
    """
    size = int(bits[1:])
    words = {"size": size - 1, "most": (1 << (size - 1)) - 1, "n": kind, "i": _like(kind, bits)}
    words |= {"direction": direction[1], "t": operation.results[0].type}
    return _replace(operation, expand(operation, list(operation.operands), lines, **words))


# Integers without a sign


def _product(operation: ir.Operation) -> bool:
    """IREE makes one operation of a conversion and a product, which takes unsigned integers for signed ones."""
    changed = False
    result = operation.results[0].type
    for number in range(2):
        given = operation.operands[number]
        if _element(given) in _UNSIGNED and given.type.element_type != result.element_type:
            operation.operands[number] = _converted(operation, given, _like(given.type, str(result.element_type)))
            changed = True
        conversion = owner(operation.operands[number])
        while conversion is not None and conversion.name in _MOVES and len(conversion.operands) == 1:
            conversion = owner(conversion.operands[0])
        if conversion is None or conversion.name != "stablehlo.convert":
            continue
        bits = _UNSIGNED.get(_element(conversion.operands[0]))
        if bits is not None and bits < conversion.results[0].type.element_type.width:
            changed |= _extend(conversion, bits)
    return changed


_UNSIGNED = {"ui8": 8, "ui16": 16, "ui32": 32}


def _extend(conversion: ir.Operation, bits: int) -> bool:
    """Makes a conversion of unsigned integers one of signed ones, of which the low bits are taken."""
    source, kind = conversion.operands[0], conversion.results[0].type
    wide = "i64" if bits == 32 or kind.element_type.width == 64 else "i32"
    lines = """
    %bits = stablehlo.bitcast_convert %0 : ({u}) -> {s}
    %wide = stablehlo.convert %bits : ({s}) -> {w}
    %mask = stablehlo.constant dense<{mask}> : {w}
    %low = stablehlo.and %wide, %mask : {w}
    %r = stablehlo.convert %low : ({w}) -> {t}
    """
    words = {"u": source.type, "s": _like(kind, f"i{bits}"), "w": _like(kind, wide), "mask": (1 << bits) - 1}
    return _replace(conversion, expand(conversion, [source], lines, **words))


#: What is written by other operations, of which some are put right in turn.
_BY_OTHERS: dict[str, Callable[[ir.Operation], bool]] = {"chlo.top_k": _top_k}
_REWRITINGS: dict[str, Callable[[ir.Operation], bool]] = {
    "stablehlo.power": _function,
    "stablehlo.atan2": _function,
    "stablehlo.cbrt": _function,
    "stablehlo.sine": _function,
    "stablehlo.cosine": _function,
    "stablehlo.tan": _function,
    "math.powf": _math,
    "math.atan2": _math,
    "math.cbrt": _math,
    "math.sin": _math,
    "math.cos": _math,
    "math.tan": _math,
    "tosa.pow": _tosa_power,
    "stablehlo.gather": _gather,
    "stablehlo.scatter": _scatter,
    "stablehlo.torch_index_select": _select_rows,
    "stablehlo.sort": _sort,
    "stablehlo.compare": _compare,
    "stablehlo.dot": _product,
    "stablehlo.dot_general": _product,
    "stablehlo.convolution": _product,
}
#: Those that are there for elements too.
_OF_ELEMENTS = frozenset(name for name in _REWRITINGS if name.startswith("math."))
