"""Tables and bars, for the terminal and for results.md."""

BAR = 40


def _number(value, digits=0):
    return "–" if value is None else f"{value:,.{digits}f}"


def lines(result):
    """One scenario as lines of Markdown that read well on a terminal too."""
    most = max(figures["rate"] for _, figures in result.rows)
    ours = result.rows[0][1]["rate"]
    yield f"### {result.title}"
    yield ""
    yield "| | requests/s | ratio | p50 ms | p99 ms | errors | memory MB |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for name, figures in result.rows:
        ratio = "" if len(result.rows) == 1 else f"{ours / figures['rate']:.2f} ×"
        yield (f"| {name} | {_number(figures['rate'])} | {ratio} | {_number(figures['p50'], 2)} | {_number(figures['p99'], 2)} "
               f"| {figures['errors']} | {_number(figures['memory'])} |")
    if len(result.rows) > 1:
        width = max(len(name) for name, _ in result.rows)
        yield ""
        yield "```"
        for name, figures in result.rows:
            yield f"{name:<{width}}  {'█' * max(1, round(figures['rate'] / most * BAR)):<{BAR}} {_number(figures['rate'])}"
        yield "```"
    yield ""
    for threshold in result.thresholds:
        digits = 0 if threshold.unit in ("", "MB") else 2
        yield f"- {'met' if threshold.met else '**not met**'}: {threshold.text}: {_number(threshold.value, digits)} {threshold.unit}".rstrip()
    for note in result.notes:
        yield f"- {note}"
    yield ""


def write(path, results, facts, quick):
    """The whole run as results.md."""
    text = ["# Results of `scripts/bench`", "",
            "Written by the command; `benchmarks/README.md` says what is measured and how. Ratio: the gateway's rate to that row's;",
            "for one gateway on several catalogues, the first row's.", ""]
    if quick:
        text += ["**A quick run: short rounds, for seeing that it works.**", ""]
    text += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts), ""]
    for result in results:
        text += lines(result)
    path.write_text("\n".join(text).rstrip() + "\n")
