"""Groups the classes that the generalist confuses, one group per expert."""

import json
from dataclasses import asdict, replace

import torch
from torch import Tensor

from ..data.files import digest, write_json
from ..data.pictures import DataError, held_back
from ..experiment.config import Groups
from .run import Run


def find_groups(run: Run) -> list[list[int]]:
    """Each expert's classes. They are found once; later calls read the result. Groups overlap only where asked for."""
    return read_groups(run)["groups"]


def find_owners(run: Run) -> list[int]:
    """For each class, the index of the group that owns it."""
    return read_groups(run)["owners"]


def read_groups(run: Run) -> dict:
    """Raises ValueError if the groups that are there were found in another way."""
    path = run.folder / "groups.json"
    predictions = run.path(run.experiment.groups.of, "npz")
    if not predictions.exists():
        raise FileNotFoundError(f"{predictions} is missing: it says which classes belong together")
    origin = asdict(run.experiment.groups) | {"seed": run.experiment.seed, "predictions": digest(predictions)}
    if not path.exists():
        run.folder.mkdir(parents=True, exist_ok=True)
        options, names = run.experiment.groups, run.source.names
        labels = run.split[1].labels
        used = ~held_back(len(labels))
        affinity = confusion(run.logits(options.of)[used], labels[used])
        homes = partition(affinity, options, run.source.coarse, run.experiment.seed)
        owner = torch.empty(len(names), dtype=torch.long)
        for group, members in enumerate(homes):
            owner[members] = group
        groups = [widen(home, affinity, options.overlap) for home in homes] if options.by == "overlap" else homes
        inside = sum(affinity[group][:, group].sum().item() for group in homes)
        figures = {
            "groups": groups,
            "owners": owner.tolist(),
            "names": [[names[label] for label in group] for group in groups],
            "confusionInside": round(inside / max(affinity.sum().item(), 1e-9), 4),
            "origin": origin,
        }
        write_json(path, figures)
        print(f"groups: {figures}")
    found = json.loads(path.read_text())
    differing = [key for key, value in origin.items() if found["origin"].get(key) != value]
    if differing:
        what = ", ".join(differing)
        raise ValueError(f"{path} was made with another {what}: remove it and what was trained on its groups")
    return found


def check_sizes(classes: int, options: Groups) -> None:
    count, smallest, largest = options.count, options.smallest, options.largest
    if not count * smallest <= classes <= count * largest:
        raise ValueError(f"{classes} classes do not fit {count} groups of {smallest} to {largest}")


def partition(affinity: Tensor, options: Groups, coarse: Tensor | None, seed: int) -> list[list[int]]:
    """Disjoint groups of all classes, by the rule of ``options``. Raises ValueError where the sizes do not fit."""
    classes = len(affinity)
    check_sizes(classes, options)
    if options.by == "random":
        order = torch.randperm(classes, generator=torch.Generator().manual_seed(seed))
        return sorted(sorted(part.tolist()) for part in order.tensor_split(options.count))
    if options.by == "superclass":
        if coarse is None:
            raise DataError("grouping by superclass needs data with superclasses, such as CIFAR-100's binary records")
        return group_superclasses(affinity, options, coarse)
    return group_classes(affinity, options)


def group_superclasses(affinity: Tensor, options: Groups, coarse: Tensor) -> list[list[int]]:
    """Groups of whole superclasses, the most confused together. Raises ValueError if they do not fit the sizes."""
    found, of = coarse.unique(return_inverse=True)
    sizes, count, smallest, largest = of.bincount(), options.count, options.smallest, options.largest
    whole = replace(options, smallest=-(-smallest // int(sizes.min())), largest=largest // int(sizes.max()))
    if not whole.count * whole.smallest <= len(found) <= whole.count * whole.largest:
        raise ValueError(f"{len(found)} superclasses do not fit {count} groups of {smallest} to {largest} classes")
    belongs = torch.nn.functional.one_hot(of).to(affinity.dtype)
    between = (belongs.T @ affinity @ belongs).fill_diagonal_(0)
    groups = [torch.isin(of, torch.tensor(group)).nonzero()[:, 0].tolist() for group in group_classes(between, whole)]
    return sorted(groups)


def widen(home: list[int], affinity: Tensor, overlap: float) -> list[int]:
    """The group and its nearest classes outside it."""
    pull = affinity[home].sum(0)
    pull[home] = -1
    count = min(round(overlap * len(home)), len(affinity) - len(home))
    return sorted(home + pull.argsort(descending=True, stable=True)[:count].tolist())


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Symmetric [classes, classes]: probability mass that pictures of one class give to the other; zero diagonal.

    Soft counts, since 50 validation pictures a class hold few outright errors.
    """
    classes = logits.shape[1]
    mass = torch.zeros(classes, classes).index_add_(0, labels, logits.float().softmax(1))
    mass.fill_diagonal_(0)
    return mass + mass.T


def group_classes(affinity: Tensor, options: Groups) -> list[list[int]]:
    """Splits the classes into ``count`` groups of bounded size with as much affinity inside groups as can be found.

    Average-linkage agglomeration first, then moves and swaps of single classes while they help. Deterministic.
    """
    affinity = affinity.double()  # float32 rounding would swap equal classes back and forth for ever
    owner = _improve(_agglomerate(affinity, options), affinity, options)
    groups = [(owner == group).nonzero()[:, 0].tolist() for group in range(options.count)]
    return sorted(groups)


def _agglomerate(affinity: Tensor, options: Groups) -> Tensor:
    clusters = [[c] for c in range(len(affinity))]
    while len(clusters) > options.count:
        best, pair = -1.0, None
        for i in range(len(clusters)):
            for j in range(i):
                if len(clusters[i]) + len(clusters[j]) > options.largest:
                    continue
                linkage = affinity[clusters[i]][:, clusters[j]].mean().item()
                if linkage > best:
                    best, pair = linkage, (i, j)
        if pair is None:  # no two fit together any more: the smallest is dissolved into those with room
            clusters.sort(key=len)
            for c in clusters.pop(0):
                roomy = [cluster for cluster in clusters if len(cluster) < options.largest]
                max(roomy, key=lambda cluster: affinity[c, cluster].sum().item()).append(c)
        else:
            clusters[pair[1]] += clusters.pop(pair[0])
    owner = torch.empty(len(affinity), dtype=torch.long)
    for group, members in enumerate(clusters):
        owner[members] = group
    return owner


def _improve(owner: Tensor, affinity: Tensor, options: Groups) -> Tensor:
    owner = owner.clone()
    improved = True
    while improved:
        improved = False
        for c in range(len(owner)):
            pull = torch.zeros(options.count, dtype=affinity.dtype)  # affinity of c to each group
            pull.index_add_(0, owner, affinity[c])
            sizes = torch.bincount(owner, minlength=options.count)
            home = int(owner[c])
            forced = sizes[home] > options.largest or (sizes < options.smallest).any()
            best, action = (-float("inf") if forced and sizes[home] > options.smallest else 1e-6), None
            for group in range(options.count):
                if group == home:
                    continue
                gain = (pull[group] - pull[home]).item()
                needy = sizes[group] < options.smallest
                fits = sizes[home] > options.smallest and sizes[group] < options.largest and (not forced or needy)
                if fits and gain > best:
                    best, action = gain, (group, None)
                if forced:
                    continue
                for other in (owner == group).nonzero()[:, 0].tolist():
                    back = affinity[other]
                    swap = gain + (back[owner == home].sum() - back[owner == group].sum()).item()
                    swap -= 2 * affinity[c, other].item()
                    if swap > best:
                        best, action = swap, (group, other)
            if action is not None:
                owner[c] = action[0]
                if action[1] is not None:
                    owner[action[1]] = home
                improved = True
    return owner
