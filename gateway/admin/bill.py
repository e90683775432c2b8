"""The bill as the admin API tells it."""

from dataclasses import dataclass, fields

from fleet.messages import CostLine, CostReport

__all__ = ["Amounts", "Bill", "BillLine", "bill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """GPU-seconds by what they were for, and two of them in money."""

    starting: float
    serving: float
    idle: float
    draining: float
    allocated: float
    """The four states add up to it."""
    always_on: float
    """What always-on replicas would have held."""
    released: float
    """What sleeping gave back of that."""
    cost: float
    """Money: what the allocated ones cost."""
    saved: float
    """Money: what the released ones would have cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One model's part. `price` is money per GPU hour."""

    model: str
    revision: str
    gpu_class: str
    price: float
    amounts: Amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """All models over the `seconds` accounted for."""

    currency: str
    seconds: float
    lines: tuple[BillLine, ...]
    total: Amounts


def bill(report: CostReport) -> Bill:
    """The report, a line for each model, by name, and their total."""
    lines = tuple(
        BillLine(
            model=line.model,
            revision=line.revision,
            gpu_class=line.gpu_class,
            price=line.price,
            amounts=_amounts(line),
        )
        for line in sorted(report.lines, key=lambda line: line.model)
    )
    sums = {
        field.name: sum((getattr(line.amounts, field.name) for line in lines), 0.0)
        for field in fields(Amounts)
    }
    return Bill(
        currency=report.currency, seconds=report.seconds, lines=lines, total=Amounts(**sums)
    )


def _amounts(line: CostLine) -> Amounts:
    return Amounts(
        starting=line.starting,
        serving=line.serving,
        idle=line.idle,
        draining=line.draining,
        allocated=line.allocated,
        always_on=line.always_on,
        released=line.released,
        cost=line.money(line.allocated),
        saved=line.money(line.released),
    )
