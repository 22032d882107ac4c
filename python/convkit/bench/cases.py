"""What the suites race: cases, the contenders that there are, and the ratios aimed at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

from convkit.bench.process import Contender
from convkit.errors import missing_extra
from convkit.testing.named_layers import (
    ALEXNET_CONV,
    ALEXNET_DENSE,
    LENET_CONV,
    LENET_DENSE,
    VGG16_CONV,
    VGG16_DENSE,
    Conv,
)

__all__ = ["PEERS", "Case", "Peer", "contenders", "layers", "models", "rnn", "scaling", "small"]


@dataclass(frozen=True)
class Peer:
    """A contender that suites may call.

    Attributes
    ----------
    factory : str
        In `convkit.bench.peers`.
    arguments : dict
        Beside the case's.
    requires : str
        A module that must be installed; "" for none.
    quick : bool
        Whether it takes part with --quick.
    """

    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    requires: str = ""
    quick: bool = True


_FACTORIES = "convkit.bench.peers."
_TORCH, _FUSED = "torch_models:Steps", {"fused": True}
_LAST = {"fused": True, "channels_last": True}
PEERS = {
    "convkit": Peer("convkit_models:Steps"),
    "torch eager": Peer(_TORCH, {}, "torch"),
    "torch eager, fused optimizer": Peer(_TORCH, _FUSED, "torch"),
    "torch channels_last, fused optimizer": Peer(_TORCH, _LAST, "torch"),
    "torch.compile, fused optimizer": Peer(_TORCH, {**_FUSED, "compiled": True}, "torch", False),
    "torch.compile, channels_last, fused optimizer": Peer(
        _TORCH, {**_LAST, "compiled": True}, "torch", False
    ),
    "numpy": Peer("numpy_mlp:Steps"),
    "scikit-learn": Peer("sklearn_mlp:Steps", {}, "sklearn"),
    "convkit layer": Peer("convkit_layers:Layer"),
    "torch layer": Peer("torch_layers:Layer", {}, "torch"),
    "torch layer, channels_last": Peer("torch_layers:Layer", {"channels_last": True}, "torch"),
}
_EAGER, _FUSED_EAGER, _CHANNELS_LAST, _COMPILED, _COMPILED_LAST = list(PEERS)[1:6]
FLAT = ("convkit", _EAGER, _FUSED_EAGER, _COMPILED)
IMAGES = (*FLAT[:3], _CHANNELS_LAST, _COMPILED, _COMPILED_LAST)
LARGE = ("convkit", _FUSED_EAGER, _CHANNELS_LAST, _COMPILED_LAST)
PERCEPTRON = (*FLAT, "numpy", "scikit-learn")


@dataclass(frozen=True)
class Case:
    """A race of a suite.

    Attributes
    ----------
    name : str
    arguments : dict
        Of the contenders' factories.
    peers : tuple of str
        Of `PEERS`; the first is the one that ratios are about.
    target : float, optional
        How many times faster than its best peer the first one is meant to be.
    threads : int, optional
        Where it is the case that decides.
    long : bool
        Whether it takes minutes; --quick leaves it out.
    labels : dict
        What tables sort by: layer and pass, axis and value.
    """

    name: str
    arguments: dict[str, Any]
    peers: tuple[str, ...]
    target: float | None = None
    threads: int | None = None
    long: bool = False
    labels: dict[str, Any] = field(default_factory=dict)


def contenders(case: Case, *, quick: bool, only: Sequence[str] = ()) -> list[Contender]:
    """Those who race in a case, ours first.

    Parameters
    ----------
    case : Case
    quick : bool
        Without those that take long to begin.
    only : sequence of str
        Of the others, those whose name contains one of these.

    Returns
    -------
    list of Contender
        Empty if there is nobody to race against.

    Raises
    ------
    ImportError
        If a library is absent; the message names the extra that brings it.
    """
    first, *others = case.peers
    chosen = [
        name
        for name in others
        if (PEERS[name].quick or not quick) and (not only or any(o in name for o in only))
    ]
    if not chosen:
        return []
    found = []
    for name in (first, *chosen):
        peer = PEERS[name]
        if peer.requires and find_spec(peer.requires) is None:
            library = {"torch": "PyTorch", "sklearn": "scikit-learn"}[peer.requires]
            package = {"sklearn": "scikit-learn"}.get(peer.requires, peer.requires)
            error = missing_extra(package, "bench", f"racing against {library}")
            able = [o for o in chosen if not (r := PEERS[o].requires) or find_spec(r) is not None]
            way = f", or race against others: --peers {able[0].split()[0]}" if able else ""
            raise ImportError(f"{error}{way}")
        arguments = {**case.arguments, **peer.arguments}
        factory = _FACTORIES + peer.factory
        title = name.replace(" layer", "")
        found.append(Contender(title, factory, arguments, optional=name != first))
    return found


def _case(name: str, peers: tuple[str, ...], target: float | None = None, **options: Any) -> Case:
    """A case whose contenders run a workload."""
    case = {k: options.pop(k) for k in ("threads", "long", "labels") if k in options}
    return Case(name, {"workload": options}, peers, target, **case)


def _lenet(batch: int, target: float | None = 4.0, **options: Any) -> Case:
    return _case(f"lenet5, batch {batch}", IMAGES, target, network="lenet5", batch=batch, **options)


def _mlp(sizes: Sequence[int], batch: int, target: float | None = 2.5, **options: Any) -> Case:
    name = f"mlp {'-'.join(map(str, sizes))}, batch {batch}"
    peers = options.pop("peers", PERCEPTRON)
    return _case(
        name, peers, target, network="mlp", batch=batch, options={"sizes": list(sizes)},
        optimizer="adam", rate=0.001, **options,
    )  # fmt: skip


def _large(
    network: str, batch: int, target: float, variant: str | None = None, **options: Any
) -> Case:
    """A network whose dropout is off while outputs are compared, and on in what is timed."""
    variant = variant or ("one-tower" if network == "alexnet" else None)
    build = {} if variant is None else {"variant": variant}
    name = f"{network}{f' {variant}' if variant else ''}, batch {batch}"
    options = {"rate": 0.001, "compared": 2, "samples": 2 * batch, **options}
    return _case(name, LARGE, target, network=network, batch=batch, options=build, **options)


def _inference(case: Case, peers: tuple[str, ...], target: float) -> Case:
    """Outputs for one batch after the other."""
    batch = case.arguments["workload"]["batch"]
    work = {**case.arguments["workload"], "mode": "predict", "samples": max(16, 2 * batch)}
    name = case.name.replace(",", " inference,")
    return Case(name, {"workload": work}, peers, target, long=case.long)


def models(quick: bool) -> list[Case]:
    """Whole training steps, and inference; --quick leaves out what takes long."""
    peers = ("convkit", _EAGER, _CHANNELS_LAST, _COMPILED)
    return [
        *(_lenet(n, 8.0 if n == 1 else 5.0) for n in (1, 32, 128, 512)),
        *(_mlp((784, 128, 10), n, target) for n, target in ((32, 5.0), (128, 3.0))),
        _mlp((784, 512, 512, 10), 128, 3.0),
        _large("alexnet", 2 if quick else 32, 2.0),
        _large("alexnet", 128, 2.0, long=True),
        _large("vgg16", 8, 2.0, long=True),
        _large("alexnet", 128, 2.0, "cifar", long=True),
        _large("vgg16", 8 if quick else 128, 2.0, "cifar"),
        _inference(_lenet(1), peers, 4.0),
        *(_inference(_large("alexnet", n, 1.5, long=n > 1), peers, 1.5) for n in (1, 16)),
        *(_inference(_large("vgg16", n, 1.8, long=True), peers, 1.8) for n in (1, 16)),
    ]


def rnn(quick: bool) -> list[Case]:
    """Recurrent networks with Adam: rows of images, and models of characters."""
    adam = {"optimizer": "adam", "rate": 0.001}
    peers = ("convkit", _EAGER, _FUSED_EAGER, _COMPILED)
    found = [
        _case(
            f"{title}(128) on rows, batch 64", peers, target, network="rnn_classifier", batch=64,
            options={"cell": cell, "units": 128}, samples=256, **adam,
        )
        for title, cell, target in (("SimpleRNN", "simple", 3.0), ("LSTM", "lstm", 2.5),
                                    ("GRU", "gru", 4.0))
    ]  # fmt: skip
    for title, options, batch, target in (
        ("LSTM 2x256", {"cell": "lstm", "units": 256, "layers": 2}, 10 if quick else 50, 1.6),
        ("Embedding(64), LSTM(256)", {"cell": "lstm", "units": 256, "embedding": 64},
         10 if quick else 50, 1.6),
        ("SimpleRNN(512)", {"cell": "simple", "units": 512}, 16 if quick else 64, 2.0),
    ):  # fmt: skip
        text = _case(
            f"{title} on characters, T 100, batch {batch}", peers, target, network="char_rnn",
            batch=batch, options={**options, "steps": 100}, compared=2, samples=2 * batch, **adam,
        )  # fmt: skip
        found.append(text)
    return found


def small(quick: bool) -> list[Case]:
    """Few samples a step: what a step costs apart from arithmetic."""
    batches = (1, 8, 32) if quick else (1, 2, 4, 8, 16, 32)
    return [*(_mlp((784, 128, 10), n) for n in batches), *(_lenet(n) for n in batches)]


def scaling(quick: bool) -> list[Case]:
    """How cost grows with batch, image and width."""
    found = []
    for n in (1, 16, 256) if quick else (1, 4, 16, 64, 256, 1024):
        found.append(_lenet(n, None, labels={"axis": "batch of lenet5", "value": n}))
    for n in (28, 56, 112) if quick else (28, 56, 112, 224):
        labels = {"axis": "side of lenet5's image", "value": n}
        case = _case(
            f"lenet5 of {n} x {n}, batch 16", IMAGES, network="lenet5", batch=16, samples=64,
            options={"input_shape": [n, n, 1]}, labels=labels,
        )  # fmt: skip
        found.append(case)
    for n in (64, 256, 1024) if quick else (64, 128, 256, 512, 1024, 2048):
        labels = {"axis": "width of a mlp", "value": n}
        found.append(_mlp((784, n, n, 10), 64, None, peers=FLAT, labels=labels))
    return found


def threads(quick: bool, most: int) -> list[Case]:
    """The same steps on 1 to `most` threads: all numbers to 8, then doublings."""
    counts = [n for n in range(1, most + 1) if n <= 8 or n & (n - 1) == 0 or n == most]
    counts = sorted({1, most}) if quick else counts
    alexnet = _large("alexnet", 2 if quick else 32, 1.5)
    bases = [_lenet(1), _lenet(128), _mlp((784, 512, 512, 10), 128), rnn(quick)[1], alexnet]
    # One peer is enough here; the race of all is that of the suite models.
    peers = ("convkit", _FUSED_EAGER)
    return [
        Case(
            f"{base.name}, {n} thread{'s' if n > 1 else ''}", base.arguments, peers, threads=n,
            labels={"case": base.name, "threads": n},
        )
        for base in bases
        for n in counts
    ]  # fmt: skip


def memory(quick: bool) -> list[Case]:
    """Whose peak is measured: small networks for what a library itself takes, and large ones."""
    images, flat = ("convkit", _FUSED_EAGER, _CHANNELS_LAST), ("convkit", _FUSED_EAGER)
    alexnet = 2 if quick else 32
    bases = [
        (_lenet(128), images),
        (_mlp((784, 512, 512, 10), 128), (*flat, "numpy", "scikit-learn")),
        (rnn(quick)[3], flat),
        (_large("alexnet", alexnet, 1.5), images),
        (_large("vgg16", 8, 1.2, long=True), images),
        (_inference(_large("alexnet", 1, 1.5), images, 1.5), images),
    ]
    return [Case(base.name, base.arguments, peers, long=base.long) for base, peers in bases]


# soumith/convnet-benchmarks: its five layers, L1 to L5, each at batch 128.
CLASSIC = (
    Conv("classic.L1", 128, 128, 3, 96, 11),
    Conv("classic.L2", 64, 64, 64, 128, 9),
    Conv("classic.L3", 32, 32, 128, 128, 9),
    Conv("classic.L4", 16, 16, 128, 128, 7),
    Conv("classic.L5", 13, 13, 384, 384, 3),
)
_BATCH = {"lenet": 128, "alexnet": 32, "vgg16": 4, "classic": 128}
_QUICK_BATCH = {"lenet": 128, "alexnet": 4, "vgg16": 1, "classic": 4}
_QUICK_LAYERS = (
    "lenet.conv1", "lenet.conv2", "alexnet.conv2", "alexnet.fc7", "vgg16.conv1_2", "vgg16.conv4_2",
    "classic.L3", "classic.L5",
)  # fmt: skip
# No training step needs the gradient of the images.
_FIRST = ("lenet.conv1", "alexnet.conv1", "vgg16.conv1_1")


def layers(quick: bool, batch: int | None = None) -> list[Case]:
    """Every pass of layers by name; those of VGG16 that repeat another once."""
    from convkit.bench.peers.layer_pass import PASSES, LayerPass

    found, known = [], set()
    every = (*LENET_CONV, *LENET_DENSE, *ALEXNET_CONV, *ALEXNET_DENSE, *VGG16_CONV, *VGG16_DENSE)
    for layer in (*every, *CLASSIC):
        if tuple(layer[1:]) in known or (quick and layer.name not in _QUICK_LAYERS):
            continue
        known.add(tuple(layer[1:]))
        n = batch or (_QUICK_BATCH if quick else _BATCH)[layer.name.partition(".")[0]]
        given: dict[str, Any]
        if isinstance(layer, Conv):
            given = {"x": (n, layer.h, layer.w, layer.c), "w": layer.w_shape}
            given |= {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
            peers: tuple[str, ...] = ("torch layer", "torch layer, channels_last")
        else:
            given, peers = {"x": (n, layer.c), "w": (layer.c, layer.k)}, ("torch layer",)
        for which in PASSES:
            if which == "backward_input" and layer.name in _FIRST:
                continue
            title = f"{layer.name}, batch {n}"
            labels = {"layer": title, "pass": which}
            case = {"layer": asdict(LayerPass(which, **given))}
            racing = peers[:1] if which == "update" else peers
            found.append(Case(f"{title}, {which}", case, ("convkit layer", *racing), labels=labels))
    return found
