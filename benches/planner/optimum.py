#!/usr/bin/env python3
"""Optima of the planner's small instances, by OR-tools' CP-SAT: a solver that shares nothing with the planner.

    cargo bench --bench planner -- export > small.jsonl
    pip install ortools
    python3 benches/planner/optimum.py small.jsonl [SECONDS [KNOWN]] > optima.tsv

KNOWN is an earlier output: what is closed there is kept, the rest is tried again from its bound. A line of the output: seed, proven lower bound of the optimum in ms, whether it is the optimum. The model is a relaxation: no
node is ever full, and fourth moves cost nothing; so the bound holds for the planner's problem too.
"""

import json
import sys

from ortools.sat.python import cp_model

UNIT = 10_000  # ms; all times of these instances are multiples.


def model_of(case):
    """Variables: when each node starts and is drained; for each item up to three moves, and where to."""
    # Anything better than what the planner reached; if there is nothing, that is the optimum.
    horizon = case["upper"] // UNIT - 1
    m = cp_model.CpModel()
    nodes = range(len(case["tail"]))
    tail = [t // UNIT for t in case["tail"]]
    start = [m.NewIntVar(0, horizon, "") for _ in nodes]
    vms_gone = [m.NewIntVar(0, horizon, "") for _ in nodes]
    drained = [m.NewIntVar(0, horizon, "") for _ in nodes]
    end = [m.NewIntVar(0, horizon, "") for _ in nodes]
    makespan = m.NewIntVar(case["lower"] // UNIT, horizon, "makespan")
    away = []
    for n in nodes:
        m.Add(vms_gone[n] >= start[n])
        m.Add(drained[n] >= vms_gone[n])
        m.Add(end[n] == drained[n] + tail[n])
        m.Add(makespan >= end[n])
        size = m.NewIntVar(0, horizon, "")
        away.append(m.NewIntervalVar(start[n], size, end[n], ""))
    m.AddCumulative(away, [1] * len(away), case["width"])
    slots, own, held = [], {n: [] for n in nodes}, {}

    def leg(item, node, present, begin):
        """A move out of this node, if present: while it drains, VMs first."""
        leave, ready = item["leave"] // UNIT, item["ready"] // UNIT
        m.Add(begin >= start[node]).OnlyEnforceIf(present)
        if item["vm"]:
            m.Add(begin + leave <= vms_gone[node]).OnlyEnforceIf(present)
            span = m.NewOptionalIntervalVar(begin, leave, begin + leave, present, "")
            slots.append(span)
            own[node].append(span)
        else:
            m.Add(begin >= vms_gone[node]).OnlyEnforceIf(present)
            m.Add(begin + leave <= drained[node]).OnlyEnforceIf(present)
            if item["budget"] >= 0:
                span = m.NewOptionalIntervalVar(begin, ready, begin + ready, present, "")
                held.setdefault(item["budget"], []).append(span)

    earlier = {}
    for item in case["items"]:
        ready = item["ready"] // UNIT
        # Where the item is before each leg; a leg is present if it is anywhere.
        at = {n: m.NewConstant(int(n == item["node"])) for n in nodes}
        begin = m.NewIntVar(0, horizon, "")
        # Like items on one node may as well leave in their order.
        like = json.dumps(item, sort_keys=True)
        if like in earlier:
            m.Add(begin >= earlier[like])
        earlier[like] = begin
        for last in (False, False, True):
            for n in nodes:
                leg(item, n, at[n], begin)
            if last:
                break
            # Its target is a node that is back, for good, or one that it must leave again.
            back = {n: m.NewBoolVar("") for n in nodes}
            onto = {n: m.NewBoolVar("") for n in nodes}
            for n in nodes:
                m.Add(begin >= end[n]).OnlyEnforceIf(back[n])
                m.Add(begin + ready <= start[n]).OnlyEnforceIf(onto[n])
                m.AddBoolOr(at[n].Not(), onto[n].Not())
            m.Add(sum(back.values()) + sum(onto.values()) == sum(at.values()))
            later = m.NewIntVar(0, horizon, "")
            m.Add(later >= begin + ready)
            at, begin = onto, later
    m.AddCumulative(slots, [1] * len(slots), case["cluster"])
    for spans in own.values():
        m.AddCumulative(spans, [1] * len(spans), case["per_node"])
    for spans in held.values():
        m.AddNoOverlap(spans)
    m.Minimize(makespan)
    return m


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    known = {}
    if len(sys.argv) > 3:
        for line in open(sys.argv[3], encoding="utf-8"):
            if not line.startswith("#"):
                seed, bound, status = line.split()
                known[int(seed)] = (int(bound), status)
    print("# seed, proven lower bound of the optimum in ms, whether it is the optimum of the relaxation", flush=True)
    for line in open(sys.argv[1], encoding="utf-8"):
        case = json.loads(line)
        # Optimal times are multiples too.
        case["lower"] = -(-case["lower"] // UNIT) * UNIT
        bound, status = known.get(case["seed"], (case["lower"], "bound"))
        case["lower"] = max(bound, case["lower"])
        if status != "optimal":
            bound, status = solve(case, seconds)
        print(f"{case['seed']}\t{bound}\t{status}", flush=True)


def solve(case, seconds):
    """A proven bound, and whether it is reached."""
    if case["lower"] >= case["upper"]:
        return case["upper"], "optimal"
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 2
    solver.parameters.random_seed = 1
    result = solver.Solve(model_of(case))
    if result == cp_model.INFEASIBLE:
        return case["upper"], "optimal"
    bound = max(case["lower"], round(solver.BestObjectiveBound()) * UNIT)
    if result == cp_model.OPTIMAL:
        return bound, "optimal"
    return bound, "bound"


if __name__ == "__main__":
    main()
