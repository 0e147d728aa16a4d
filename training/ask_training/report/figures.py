"""The pictures of a report, drawn from stored predictions."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.files import write_atomically
from .ablate import as_served, by_gain, by_mass, halves, log_linear, oracle, system
from .stored import Stored

matplotlib.rcParams |= {"svg.hashsalt": "ask", "svg.fonttype": "none", "font.size": 9}  # the same bytes each time
SHARES = [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def save(figure: Figure, path: Path) -> None:
    figure.set_layout_engine("constrained")
    write_atomically(path, lambda to: figure.savefig(to, format="svg", metadata={"Date": None}))


def risk_coverage(stored: Stored, path: Path) -> None:
    """Accuracy against the share escalated: by confidence, at random, and with an oracle that picks the expert."""
    edge = (stored.outputs.edge.argmax(1) == stored.outputs.labels).float().mean().item()

    def line(of) -> list[float]:
        return [100 * (edge if share == 0 else of(share)) for share in SHARES]

    gain = line(lambda share: system(stored, by_gain(stored.groups), share))
    always = gain[-1]
    figure = Figure((6, 3.6))
    axes = figure.subplots()
    x = [100 * share for share in SHARES]
    axes.plot(x, line(lambda share: oracle(stored, share)), color="tab:green", label="oracle: the expert that is right")
    axes.plot(x, gain, color="tab:blue", label="least confident, expert by expected gain")
    mass = line(lambda share: system(stored, by_mass(stored.groups), share))
    axes.plot(x, mass, color="tab:blue", linestyle="--", label="least confident, expert by top-5 mass")
    axes.plot([0, 100], [100 * edge, always], color="tab:grey", linestyle=":", label="random pictures")
    axes.axhline(always, color="tab:red", linewidth=0.8, label="always escalate")
    axes.set(xlabel="pictures escalated (%)", ylabel="accuracy (%)", title="Accuracy against escalation")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    save(figure, path)


def answers(stored: Stored) -> tuple[Tensor, Tensor, Tensor]:
    """Of all pictures, fitted crosswise: merged log-probabilities, the expert asked, and whether it was asked at the
    manifest's threshold."""
    size = stored.outputs.edge.shape
    merged, chosen = torch.zeros(size), torch.zeros(size[0], dtype=torch.long)
    for (fit, to), part in zip(halves(stored), (stored.held, ~stored.held)):
        choose = as_served(stored)
        chosen[part] = choose(fit, to)
        merged[part] = log_linear(fit, to, choose(fit, fit), chosen[part]).log_softmax(1)
    return merged, chosen, stored.outputs.confidence() < stored.threshold


def reliability(stored: Stored, path: Path) -> dict[str, float]:
    """Confidence against accuracy in fifteen bins; returns each model's expected calibration error."""
    merged, _, asked = answers(stored)
    final = torch.where(asked[:, None], merged, stored.outputs.edge)
    figure = Figure((6, 3))
    errors = {}
    for axes, (name, logs) in zip(figure.subplots(1, 2), {"generalist": stored.outputs.edge, "system": final}.items()):
        confidence, said = logs.exp().max(1)
        right = (said == stored.outputs.labels).float()
        bins = (confidence * 15).long().clamp(max=14)
        counts = torch.bincount(bins, minlength=15).float()
        mean = torch.zeros(15).index_add_(0, bins, confidence) / counts.clamp(min=1)
        accuracy = torch.zeros(15).index_add_(0, bins, right) / counts.clamp(min=1)
        errors[name] = round(((mean - accuracy).abs() * counts).sum().item() / len(right), 4)
        shown = counts > 10
        axes.plot([0, 1], [0, 1], color="tab:grey", linewidth=0.8)
        axes.plot(mean[shown].numpy(), accuracy[shown].numpy(), marker="o", markersize=3)
        axes.set(title=f"{name}: calibration error {100 * errors[name]:.1f} %", xlabel="confidence", ylabel="accuracy")
        axes.grid(alpha=0.3)
    save(figure, path)
    return errors


def group_accuracy(stored: Stored, path: Path) -> list[tuple[str, float, float, float, float]]:
    """Per expert, on its own classes: generalist, expert, system at the threshold, and always asking."""
    outputs, owners = stored.outputs, torch.tensor(stored.owners)
    merged, _, asked = answers(stored)
    right = {
        "generalist": outputs.edge.argmax(1) == outputs.labels,
        "its expert": outputs.of(owners[outputs.labels]).argmax(1) == outputs.labels,
        "system": torch.where(asked, merged.argmax(1), outputs.edge.argmax(1)) == outputs.labels,
        "always ask": merged.argmax(1) == outputs.labels,
    }
    ids = [expert.id for expert in stored.experts]
    rows = [
        (name, *(flags[owners[outputs.labels] == i].float().mean().item() for flags in right.values()))
        for i, name in enumerate(ids)
    ]
    figure = Figure((6, 3))
    axes = figure.subplots()
    x = np.arange(len(rows))
    for i, name in enumerate(right):
        axes.bar(x + 0.2 * i - 0.3, [100 * row[i + 1] for row in rows], 0.2, label=name)
    low = 100 * min(min(row[1:]) for row in rows)
    axes.set(xticks=x, ylabel="accuracy (%)", title="On each expert's own classes", ylim=(max(0, low - 8), 100))
    axes.set_xticklabels(ids)
    axes.legend(fontsize=8, ncols=4)
    save(figure, path)
    return rows


def confusion_and_routing(stored: Stored, path: Path) -> float:
    """Where wrong answers land, and whom escalated pictures are sent to, by the group of the true class. Returns the
    share of escalated pictures whose class is the asked expert's."""
    outputs, owners = stored.outputs, torch.tensor(stored.owners)
    _, chosen, asked = answers(stored)
    true, said = owners[outputs.labels], owners[outputs.edge.argmax(1)]
    wrong = outputs.edge.argmax(1) != outputs.labels
    count = len(stored.groups)
    figure = Figure((6.4, 3))
    parts = {
        "generalist's errors, by group (%)": (true[wrong], said[wrong], "answered"),
        "escalated pictures, by group (%)": (true[asked], chosen[asked], "expert asked"),
    }
    for axes, (title, (rows, columns, label)) in zip(figure.subplots(1, 2), parts.items()):
        table = torch.zeros(count, count).index_put_((rows, columns), torch.ones(len(rows)), accumulate=True)
        share = 100 * table / table.sum(1, keepdim=True).clamp(min=1)
        axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=100)
        if count <= 10:
            for i in range(count):
                for j in range(count):
                    value = share[i, j].item()
                    colour = "white" if value > 60 else "black"
                    axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set(title=title, ylabel="true", xlabel=label, xticks=range(count), yticks=range(count))
        axes.set_xticklabels([str(i + 1) for i in range(count)])
        axes.set_yticklabels([str(i + 1) for i in range(count)])
    save(figure, path)
    return float((owners[outputs.labels][asked] == chosen[asked]).float().mean()) if asked.any() else float("nan")
