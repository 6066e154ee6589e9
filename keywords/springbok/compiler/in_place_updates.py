# SPDX-License-Identifier: Apache-2.0
"""Puts right updates in place of a tensor by something that is read from the same tensor, as a shift by a row.

IREE 3.13 writes into a tensor where that lies, if nothing needs what it was before, but does not see that what is
written may still be read from there:

- a kernel that reads one part of a tensor and writes another one of it reads what it has written by then;
- the result of a kernel that reads the tensor is put straight into it, with the same effect;
- a part of it that is copied elsewhere in it becomes a copy within one buffer, which the runtime refuses;
- two kernels that each write into the same kernel's result (two sorts of one `iota`): the copies between are made by
  running that kernel again, which then counts as needless.

The phase `flow` still says what is read and what is updated: there the kernel gets a copy to read from, and what is
put into a tensor that it was made of is kept apart from it (`util.optimization_barrier`). All other modules stay what
they are.

Example::

    if occur(flow_phase):
        put_right(module, "the model")      # the phase `flow` as a module
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from springbok.support.errors import CompileError

if TYPE_CHECKING:
    from iree.compiler import ir

#: Counts up when other modules are made, so that no older cache entry is taken.
VERSION = 1

_LOAD, _STORE = (f"iree_tensor_ext.dispatch.tensor.{each}" for each in ("load", "store"))
#: What a tensor is called otherwise, or a part of it.
_WAYS = ("flow.tensor.reshape", "flow.tensor.bitcast", "flow.tensor.slice", "flow.tensor.clone", "flow.tensor.barrier")


def occur(flow: str) -> bool:
    """Whether the text of the phase `flow` may hold such updates. It is quick, and may be wrong only by saying yes."""
    loads = re.finditer(rf"{re.escape(_LOAD)} [^\n]*<readwrite:", flow)
    return "flow.tensor.update" in flow or next(loads, None) is not None or _is_written_twice(flow)


def _is_written_twice(flow: str) -> bool:
    same = dict(re.findall(r"^ *(%[\w#]+) = flow\.tensor\.reshape (%[\w#]+)", flow, re.MULTILINE))
    written = []
    for results in re.findall(r"= flow\.dispatch [^\n]*\) -> ([^\n]*)", flow):
        for name in re.findall(r"%[\w#]+", results):
            while name in same:
                name = same[name]  # noqa: PLW2901 (one of its other names)
            written.append(name)
    return len(set(written)) < len(written)


def put_right(module: ir.Module, name: str) -> bool:
    """Keeps apart what is read and what is written, and tells whether it had to.

    Raises :class:`CompileError` where that can't be done; ``name`` is what it calls the model.
    """
    from springbok.compiler.mlir import operations

    changed = _write_once(module)
    for update in operations(module, "flow.tensor.update"):
        changed |= _keep_apart(update)
    for executable in operations(module, "flow.executable"):
        for function in operations(executable, "func.func"):
            for argument in reversed(list(function.regions[0].blocks[0].arguments)):
                loads = _unsafe_loads(argument)
                if loads:
                    _read_a_copy(module, executable, function, argument, loads, name)
                    changed = True
    return changed


def _write_once(module: ir.Module) -> bool:
    """Gives each but the last of several dispatches that write into one kernel's result a copy of it."""
    from iree.compiler import ir

    from springbok.compiler.mlir import operations, owner

    written: list[tuple[ir.Value, list[tuple[ir.Operation, int]]]] = []
    for call in operations(module, "flow.dispatch"):
        workload, _ = _arguments(call)
        if "tied_operands" not in call.attributes:
            continue
        for tied in call.attributes["tied_operands"]:
            number = workload + tied.value
            if tied.value < 0 or owner(whole := _whole(call.operands[number]), "flow.dispatch") is None:
                continue
            places = next((places for value, places in written if value == whole), None)
            if places is None:
                written.append((whole, [(call, number)]))
            else:
                places.append((call, number))
    changed = False
    for _, places in written:
        for copy, (call, number) in enumerate(places[:-1]):
            tensor = call.operands[number]
            with ir.InsertionPoint(call), call.location:
                call.operands[number] = _copy(module, tensor, copy)
            changed = True
    return changed


def _keep_apart(update: ir.Operation) -> bool:
    """Puts a barrier before what is written, if it is made of the tensor that it is written into."""
    from iree.compiler import ir

    from springbok.compiler.mlir import owner

    segments = list(ir.DenseI32ArrayAttr(update.attributes["operandSegmentSizes"]))
    place = sum(segments[:3])
    target, written = update.operands[0], update.operands[place]
    source = written
    while (way := owner(source, *_WAYS)) is not None:
        source = way.operands[0]
    read = [source]
    maker = owner(source, "flow.dispatch", "flow.tensor.update", "flow.call")
    if maker is not None:
        read += maker.operands
    if _whole(target) not in map(_whole, read):
        return False
    with ir.InsertionPoint(update), update.location:
        barrier = ir.Operation.create("util.optimization_barrier", [written.type], [written])
    update.operands[place] = barrier.result
    return True


def _whole(value: ir.Value) -> ir.Value:
    """The tensor that ``value`` is another name or a part of."""
    from springbok.compiler.mlir import owner

    while (way := owner(value, *_WAYS)) is not None:
        value = way.operands[0]
    return value


def _unsafe_loads(argument: ir.Value) -> list[ir.Operation]:
    """The reads of a tensor that a kernel also writes, of another part or in another order than it is written."""
    from springbok.compiler.mlir import users

    if "<readwrite:" not in str(argument.type):
        return []
    using = [user for user, _ in users(argument)]
    stores = [each for each in using if each.name == _STORE]
    if not stores:
        return []
    loads = [each for each in using if each.name == _LOAD]
    return [each for each in loads if not all(_is_in_step(each, store) for store in stores)]


def _is_in_step(load: ir.Operation, store: ir.Operation) -> bool:
    """Whether each element is read before it is written: the same part, to begin with or element by element."""
    from springbok.compiler.mlir import Generic, is_generic, is_identity, users

    if any(str(_part(load, each)) != str(_part(store, each)) for each in ("offsets", "sizes", "strides")):
        return False
    for user, number in users(load.results[0]):
        if len(user.operands) - len(user.results) <= number and user.name != _STORE:
            continue  # what an operation begins with, such as all that is sorted
        if not is_generic(user):
            return False
        generic = Generic(user)
        if any(generic.reductions) or not all(is_identity(generic.maps[each]) for each in (number, -1)):
            return False
    return True


def _part(operation: ir.Operation, name: str) -> tuple[list[int], list[ir.Value]]:
    """Offsets, sizes or strides, fixed ones and those that are computed."""
    from iree.compiler import ir

    segments = list(ir.DenseI32ArrayAttr(operation.attributes["operandSegmentSizes"]))
    number = ("offsets", "sizes", "strides").index(name) - 3
    first = sum(segments[:number])
    computed = list(operation.operands)[first : first + segments[number]]
    return list(ir.DenseI64ArrayAttr(operation.attributes[f"static_{name}"])), [each.get_name() for each in computed]


def _read_a_copy(
    module: ir.Module,
    executable: ir.Operation,
    function: ir.Operation,
    argument: ir.Value,
    loads: list[ir.Operation],
    name: str,
) -> None:
    """Lets ``loads`` read from another binding, which callers give a copy of the tensor."""
    from iree.compiler import ir

    from springbok.compiler.mlir import operations

    kernel = f"@{executable.attributes['sym_name'].value}::@{function.attributes['sym_name'].value}"
    calls = [each for each in operations(module, "flow.dispatch") if kernel in _entries(each)]
    block, number = function.regions[0].blocks[0], argument.arg_number
    given = {_arguments(call) for call in calls}
    if len(given) != 1 or any("?" in str(each.type) for each in block.arguments) or any(map(_has_others, calls)):
        raise CompileError(
            f"{name} updates a tensor by a part of itself in {kernel}, which the compiler does wrongly: give the model "
            "fixed shapes, or make the new tensor of parts (concatenate)."
        )
    _, count = given.pop()
    taken = ir.Type.parse(str(argument.type).replace("<readwrite:", "<readonly:"))
    added = block.add_argument(taken, function.location)
    for later in reversed(range(count, added.arg_number)):  # what the kernel only writes comes behind
        after, before = block.arguments[later + 1], block.arguments[later]
        after.set_type(before.type)
        before.replace_all_uses_with(after)
    block.arguments[count].set_type(taken)
    kind = ir.FunctionType.get([each.type for each in block.arguments], [])
    function.attributes["function_type"] = ir.TypeAttr.get(kind)
    for load in loads:
        load.operands[0] = block.arguments[count]
    for call in calls:
        _give_a_copy(module, call, number)


def _entries(call: ir.Operation) -> list[str]:
    return [str(each).replace('"', "") for each in call.attributes["entry_points"]]


def _arguments(call: ir.Operation) -> tuple[int, int]:
    """How many numbers of a dispatch are its workload, and how many values its kernel takes."""
    from iree.compiler import ir

    workload, arguments, *_ = ir.DenseI32ArrayAttr(call.attributes["operandSegmentSizes"])
    return workload, arguments


def _has_others(call: ir.Operation) -> bool:
    """Whether a dispatch may run several kernels."""
    return len(_entries(call)) != 1


def _give_a_copy(module: ir.Module, call: ir.Operation, number: int) -> None:
    """Lets a dispatch take a copy of the tensor that is its argument ``number``, after all of its arguments.

    The copy is made by a kernel: any other one is taken for needless, as the tensor is not read afterwards.
    """
    from iree.compiler import ir

    workload, count = _arguments(call)
    operands = list(call.operands)
    tensor = operands[workload + number]
    with ir.InsertionPoint(call), call.location:
        operands.insert(workload + count, _copy(module, tensor))
        attributes = {each: call.attributes[each] for each in call.attributes}
        segments = list(ir.DenseI32ArrayAttr(attributes["operandSegmentSizes"]))
        segments[1] += 1
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(segments)
        made = ir.Operation.create("flow.dispatch", [each.type for each in call.results], operands, attributes)
    for old, new in zip(call.results, made.results, strict=True):
        old.replace_all_uses_with(new)
    call.erase()


def _copy(module: ir.Module, tensor: ir.Value, number: int = 0) -> ir.Value:
    """A copy of the tensor, made by a kernel of its own for each ``number``: two that are alike would become one."""
    from iree.compiler import ir

    attributes = {
        "entry_points": ir.ArrayAttr.get([_copying_kernel(module, tensor.type, number)]),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 1, 0, 0]),
    }
    return ir.Operation.create("flow.dispatch", [tensor.type], [tensor], attributes).result


def _copying_kernel(module: ir.Module, kind: ir.RankedTensorType, number: int) -> ir.Attribute:
    """The kernel that copies tensors of the type ``kind``, which is added to the module at its first use."""
    from iree.compiler import ir

    name = f"copy_{'x'.join(map(str, (*kind.shape, kind.element_type)))}{f'_{number}' if number else ''}"
    kernel = ir.Attribute.parse(f"@{name}::@{name}")
    functions = list(module.body.operations)
    if any("sym_name" in each.attributes and each.attributes["sym_name"].value == name for each in functions):
        return kernel
    rank = len(kind.shape)
    place = f"offsets = {[0] * rank}, sizes = {list(kind.shape)}, strides = {[1] * rank}"
    taken, given = (f"!iree_tensor_ext.dispatch.tensor<{access}:{kind}>" for access in ("readonly", "writeonly"))
    parsed = ir.Module.parse(f"""
      flow.executable private @{name} {{
        flow.executable.export public @{name} workgroups() -> (index, index, index) {{
          %x, %y, %z = iree_tensor_ext.dispatch.workgroup_count_from_slice()
          flow.return %x, %y, %z : index, index, index
        }}
        builtin.module {{
          func.func @{name}(%from: {taken}, %to: {given}) {{
            %all = {_LOAD} %from, {place} : {taken} -> {kind}
            {_STORE} %all, %to, {place} : {kind} -> {given}
            return
          }}
        }}
      }}""")
    with ir.InsertionPoint(next(each for each in functions if each.operation.name == "flow.executable")):
        parsed.body.operations[0].operation.clone()
    return kernel
