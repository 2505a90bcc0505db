"""One SparK pretraining step in PyTorch, timed: what sparkc is compared with.

The computation is that of the official program: dense maps that are multiplied by the mask after every
convolution and pool, norms over gathered visible positions, densify, U-shaped decoder, patch loss,
backward, LAMB. `--verify` proves it on the reference cases.

    spark_step.py --model resnet50 --batch 8 --threads 2 --memory-format channels_last
    spark_step.py --model convnext_small --mode compile --dtype bf16 --json
    spark_step.py --verify ../shared/reference/tiny-resnet
"""
import argparse
import json
import statistics
import sys
import time
from collections import namedtuple

import torch
from torch import nn
from torch.nn import functional

# Of one map size: 1 or 0 as (batch, 1, size, size), the same as booleans, and the row numbers of the
# visible positions in a (batch * size * size, channels) matrix.
Level = namedtuple("Level", "mask visible rows")


def levels_of(active, image_size, dtype):
    """All levels by map size, from the cells (1, 0) to the image, each twice the one before."""
    size, levels = active.shape[-1], {}
    while size <= image_size:
        factor = size // active.shape[-1]
        visible = active.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        levels[size] = Level(visible.to(dtype), visible, visible.flatten().nonzero().flatten())
        size *= 2
    return levels


# ---- Masked layers -------------------------------------------------------------------------------


class GatherRows(torch.autograd.Function):
    """Row numbers are distinct, so its backward copies rows where PyTorch's own adds them one by one."""

    @staticmethod
    def forward(context, matrix, rows):
        context.save_for_backward(rows)
        context.count = matrix.shape[0]
        return matrix.index_select(0, rows)

    @staticmethod
    def backward(context, gradient):
        (rows,) = context.saved_tensors
        matrix = gradient.new_zeros(context.count, gradient.shape[1])
        return matrix.index_copy_(0, rows, gradient), None


def at_visible_rows(norm, x, level):
    """The norm over the visible positions of (batch, height, width, channels); the others are 0."""
    matrix = x.reshape(-1, x.shape[3])
    normed = norm(GatherRows.apply(matrix, level.rows))
    return normed.new_zeros(matrix.shape).index_copy_(0, level.rows, normed).view(x.shape)


def at_visible_positions(norm, x, level):
    """The same, gathered by the mask as the official program does."""
    where = level.visible.squeeze(1).nonzero(as_tuple=True)
    normed = norm(x[where])
    out = normed.new_zeros(x.shape)
    out[where] = normed
    return out


GATHERS = {"rows": at_visible_rows, "index": at_visible_positions}


class MaskedConv(nn.Conv2d):
    def forward(self, x, levels):
        y = super().forward(x)
        return y.mul_(levels[y.shape[2]].mask)


class MaskedMaxPool(nn.MaxPool2d):
    def forward(self, x, levels):
        y = super().forward(x)
        return y.mul_(levels[y.shape[2]].mask)


class MaskedNorm:
    """Channels first in, channels first out; `gather` is one of GATHERS."""

    def forward(self, x, levels):
        rows = x.permute(0, 2, 3, 1)
        return self.gather(super().forward, rows, levels[x.shape[2]]).permute(0, 3, 1, 2)


class MaskedBatchNorm(MaskedNorm, nn.BatchNorm1d):
    gather = staticmethod(at_visible_rows)


class MaskedLayerNorm(MaskedNorm, nn.LayerNorm):
    gather = staticmethod(at_visible_rows)

    def __init__(self, channels):
        super().__init__(channels, eps=1e-6)


class Chain(nn.Sequential):
    """Masked layers one after another."""

    def forward(self, x, levels):
        for layer in self:
            x = layer(x, levels)
        return x


# ---- Encoders ------------------------------------------------------------------------------------


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = MaskedConv(channels, width, 1, bias=False)
        self.bn1 = MaskedBatchNorm(width)
        self.conv2 = MaskedConv(width, width, 3, stride, 1, bias=False)
        self.bn2 = MaskedBatchNorm(width)
        self.conv3 = MaskedConv(width, 4 * width, 1, bias=False)
        self.bn3 = MaskedBatchNorm(4 * width)
        self.downsample = None
        if stride != 1 or channels != 4 * width:
            self.downsample = Chain(MaskedConv(channels, 4 * width, 1, stride, bias=False),
                                    MaskedBatchNorm(4 * width))

    def forward(self, x, levels):
        y = functional.relu(self.bn1(self.conv1(x, levels), levels), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y, levels), levels), inplace=True)
        y = self.bn3(self.conv3(y, levels), levels)
        y += x if self.downsample is None else self.downsample(x, levels)
        return functional.relu(y, inplace=True)


class ResNet(nn.Module):
    """He et al., 2016; maps of strides 4, 8, 16, 32."""

    densify_norm, beta2 = MaskedBatchNorm, 0.95

    def __init__(self, layers, planes, stem_width):
        super().__init__()
        self.channels = [4 * width for width in planes]
        self.conv1 = MaskedConv(3, stem_width, 7, 2, 3, bias=False)
        self.bn1 = MaskedBatchNorm(stem_width)
        self.pool = MaskedMaxPool(3, 2, 1)
        inputs = [stem_width] + self.channels
        for i, width in enumerate(planes):
            blocks = [Bottleneck(4 * width if j else inputs[i], width, 2 if i and not j else 1)
                      for j in range(layers[i])]
            setattr(self, f"layer{i + 1}", Chain(*blocks))

    def forward(self, x, levels):
        x = functional.relu(self.bn1(self.conv1(x, levels), levels), inplace=True)
        x, maps = self.pool(x, levels), []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x, levels)
            maps.append(x)
        return maps


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dwconv = MaskedConv(channels, channels, 7, padding=3, groups=channels)
        self.norm = MaskedLayerNorm(channels)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x, levels):
        y = self.norm(self.dwconv(x, levels), levels).permute(0, 2, 3, 1)
        y = self.pwconv2(functional.gelu(self.pwconv1(y)))
        y = (y * self.gamma.to(y.dtype)).permute(0, 3, 1, 2)
        return x + y.mul_(levels[x.shape[2]].mask)


class ConvNeXt(nn.Module):
    """Liu et al., 2022; maps of strides 4, 8, 16, 32."""

    densify_norm, beta2 = MaskedLayerNorm, 0.999

    def __init__(self, depths, dims):
        super().__init__()
        self.channels = dims
        self.downsample_layers = nn.ModuleList(
            [Chain(MaskedConv(3, dims[0], 4, 4), MaskedLayerNorm(dims[0]))])
        for narrow, wide in zip(dims, dims[1:]):
            self.downsample_layers.append(
                Chain(MaskedLayerNorm(narrow), MaskedConv(narrow, wide, 2, 2)))
        self.stages = nn.ModuleList(Chain(*[ConvNeXtBlock(dim) for _ in range(depth)])
                                    for dim, depth in zip(dims, depths))

    def forward(self, x, levels):
        maps = []
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x, levels), levels)
            maps.append(x)
        return maps


ENCODERS = {
    "resnet50": lambda: ResNet([3, 4, 6, 3], [64, 128, 256, 512], 64),
    "convnext_small": lambda: ConvNeXt([3, 3, 27, 3], [96, 192, 384, 768]),
}


# ---- Densify, decoder, loss ----------------------------------------------------------------------


class DecoderBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.up_sample = nn.ConvTranspose2d(channels, channels, 4, 2, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels),
            nn.ReLU6(inplace=True),
            nn.Conv2d(channels, channels // 2, 3, 1, 1, bias=False), nn.BatchNorm2d(channels // 2))

    def forward(self, x):
        return self.conv(self.up_sample(x))


class Decoder(nn.Module):
    """Five blocks, each twice as large and half as wide."""

    def __init__(self, width):
        super().__init__()
        self.dec = nn.ModuleList(DecoderBlock(width >> i) for i in range(5))
        self.proj = nn.Conv2d(width >> 5, 3, 1)

    def forward(self, maps):
        x = 0
        for i, block in enumerate(self.dec):
            x = block(x + maps[i] if i < len(maps) else x)
        return self.proj(x)


class Wrapped(nn.Module):
    """Gives the encoder its name in the reference files."""

    def __init__(self, encoder):
        super().__init__()
        self.sp_cnn = encoder


class SparK(nn.Module):
    """forward gives the loss. `levels` is from levels_of."""

    def __init__(self, encoder, width, densify_norm):
        super().__init__()
        self.sparse_encoder = Wrapped(encoder)
        self.dense_decoder = Decoder(width)
        self.densify_norms, self.densify_projs = nn.ModuleList(), nn.ModuleList()
        self.mask_tokens = nn.ParameterList()
        for i, channels in enumerate(reversed(encoder.channels)):
            self.densify_norms.append(densify_norm(channels))
            self.densify_projs.append(nn.Identity() if i == 0 and channels == width else
                                      nn.Conv2d(channels, width >> i, 3 if i else 1, 1, 1 if i else 0))
            self.mask_tokens.append(nn.Parameter(0.02 * torch.randn(1, channels, 1, 1)))

    def densify(self, i, x, levels):
        level = levels[x.shape[2]]
        x = self.densify_norms[i](x, levels)
        return self.densify_projs[i](torch.where(level.visible, x, self.mask_tokens[i].to(x.dtype)))

    def forward(self, image, levels):
        maps = self.sparse_encoder.sp_cnn(image * levels[image.shape[2]].mask, levels)
        maps = [self.densify(i, x, levels) for i, x in enumerate(reversed(maps))]
        return patch_loss(image, self.dense_decoder(maps).float(), levels[min(levels)].visible)


def patches(image, cells):
    """(batch, 3, size, size) as (batch, cells * cells, values of a patch)."""
    batch, channels, size, _ = image.shape
    side = size // cells
    parts = image.reshape(batch, channels, cells, side, cells, side)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(batch, cells * cells, channels * side * side)


def patch_loss(image, reconstruction, active):
    target = patches(image, active.shape[2])
    variance, mean = torch.var_mean(target, 2, keepdim=True)
    target = (target - mean) / (variance + 1e-6).sqrt()
    error = (patches(reconstruction, active.shape[2]) - target).square().mean(2)
    hidden = ~active.flatten(1)
    return (error * hidden).sum() / (hidden.sum() + 1e-8)


# ---- LAMB ----------------------------------------------------------------------------------------


def lamb_update(p, g, m, v, lr, decay, beta2, scale, correction1, correction2):
    """In place, on one tensor; `decay` 0 means no trust ratio either."""
    g = g * scale
    m.mul_(0.9).add_(g, alpha=0.1)
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    u = (m / correction1) / (v.sqrt() / correction2 + 1e-6)
    if decay:
        u = u + decay * p
        p_norm, u_norm = p.norm(), u.norm()
        u = u * torch.where((p_norm > 0) & (u_norm > 0), p_norm / u_norm, torch.ones_like(p_norm))
    p.sub_(lr * u)


class Lamb:
    """As in timm 0.5.4, tensor by tensor; the gradients are clipped to a norm of 5 over all tensors."""

    def __init__(self, model, beta2, lr, weight_decay, compiled):
        self.beta2, self.lr, self.weight_decay, self.count = beta2, lr, weight_decay, 0
        self.compiled = compiled
        self.update = torch.compile(lamb_update, dynamic=True) if compiled else lamb_update
        self.state = [(p, self.keeps(name, p), torch.zeros_like(p), torch.zeros_like(p))
                      for name, p in model.named_parameters()]

    @staticmethod
    def keeps(name, p):
        """No weight decay."""
        return p.ndim == 1 or name.endswith(".bias") or "mask_token" in name or "gamma" in name

    @torch.no_grad()
    def step(self):
        self.count += 1
        norm = torch.stack([p.grad.norm() for p, *_ in self.state]).norm()
        scale = torch.clamp(5 / norm, max=1)
        corrections = torch.tensor([1 - 0.9**self.count, (1 - self.beta2**self.count)**0.5])
        for p, keep, m, v in self.state:
            self.update(*self.as_stored(p, p.grad, m, v), self.lr, 0.0 if keep else self.weight_decay,
                        self.beta2, scale, *corrections)

    def as_stored(self, p, g, m, v):
        """One-dimensional views, so that compiled code serves every shape and memory format."""
        if not self.compiled:
            return p, g, m, v
        if g.stride() != p.stride():
            g = torch.empty_like(p).copy_(g)
        return [t.as_strided((t.numel(),), (1,)) for t in (p, g, m, v)]


# ---- Verification --------------------------------------------------------------------------------


def read_safetensors(path):
    types = {"F32": torch.float32, "I32": torch.int32, "U8": torch.uint8}
    with open(path, "rb") as file:
        data = bytearray(file.read())
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            flat = torch.frombuffer(data, dtype=torch.uint8)[start + begin:start + end].clone()
            tensors[name] = flat.view(types[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def signed(value):
    """The 64-bit integer with the same bits."""
    return (value + 2**63) % 2**64 - 2**63


def recipe_tensor(name, shape, offset, scale):
    """Numbers from a name, by the recipe of the reference cases (splitmix64 of hash and index)."""
    def shift(z, bits):
        return (z >> bits) & ((1 << (64 - bits)) - 1)

    z = torch.arange(torch.Size(shape).numel()) + signed(fnv1a(name) + 0x9E3779B97F4A7C15)
    z = (z ^ shift(z, 30)) * signed(0xBF58476D1CE4E5B9)
    z = (z ^ shift(z, 27)) * signed(0x94D049BB133111EB)
    u = shift(z ^ shift(z, 31), 40).double() * 2.0**-23 - 1
    return (offset + scale * u).float().reshape(shape)


def case_encoder(spec):
    if spec["family"] in ENCODERS:
        return ENCODERS[spec["family"]]()
    if spec["family"] == "resnet":
        return ResNet(spec["layers"], spec["planes"], spec["stem_width"])
    if spec["family"] == "convnext":
        return ConvNeXt(spec["depths"], spec["dims"])
    sys.exit(f"not supported: a case of the family {spec['family']}")


def load_weights(model, folder, case):
    if "recipe" in case:
        stored = {name: recipe_tensor(name, r["shape"], r["offset"], r["scale"])
                  for name, r in case["recipe"].items()}
    else:
        stored = read_safetensors(f"{folder}/weights.safetensors")
    for name, tensor in model.state_dict().items():
        if name in stored:
            tensor.copy_(stored[name])
        elif "running_" not in name and "num_batches" not in name:
            sys.exit(f"{folder}: the case has no weights for {name}")


class Comparison:
    """Prints a line for each group of values: its worst error beside what is allowed."""

    def __init__(self):
        self.failed = False

    def line(self, what, error, tolerance):
        good = error <= tolerance
        self.failed |= not good
        print(f"{what:24} {error:10.2e} of {tolerance:8.1e}  {'ok' if good else 'FAILED'}")

    def tensors(self, what, got, expected, tolerance):
        """L2 norm of the difference relative to the expected one's; the worst tensor."""
        error = max((float((got[name] - want).norm() / want.norm()) for name, want in expected.items()
                     if float(want.norm()) > 0), default=float("nan"))
        self.line(f"{what} ({len(expected)})", error, tolerance)


def gradient_group(name):
    if name.startswith("sparse_encoder"):
        return "grad.encoder"
    if name.startswith("dense_decoder"):
        return "grad.decoder"
    return "grad.mask_token" if name.startswith("mask_tokens") else "grad.densify"


def compare_tensors(comparison, folder, case, model, gradients):
    """Every gradient, the running statistics and, if the step is stored, every weight after it."""
    tolerance, groups = case["suggested_tolerance"], {}
    expected = read_safetensors(f"{folder}/expect.safetensors")
    for name, gradient in gradients.items():
        if name not in case["zero_grad"]:
            groups.setdefault(gradient_group(name), {})[name] = expected["grad." + name]
    for group, want in groups.items():
        comparison.tensors(group, gradients, want, tolerance[group]["l2"])
    after = {name[6:]: t.float() for name, t in expected.items()
             if name.startswith("after.") and "running_" in name}
    comparison.tensors("after", model.state_dict(), after, tolerance["after"]["l2"])
    before = read_safetensors(f"{folder}/weights.safetensors")
    stored = read_safetensors(f"{folder}/step.safetensors")
    names = [name for name in gradients if name not in case["zero_grad"]]
    comparison.tensors("delta", {n: model.state_dict()[n] - before[n] for n in names},
                       {n: stored["param." + n] - before[n] for n in names}, tolerance["delta"]["l2"])


def verify(folder, options):
    with open(f"{folder}/case.json") as file:
        case = json.load(file)
    inputs = read_safetensors(f"{folder}/input.safetensors")
    image = inputs.get("image")
    if image is None:
        recipe = case["recipe_image"]
        image = recipe_tensor("image", recipe["shape"], recipe["offset"], recipe["scale"])
    norms = {"bn": MaskedBatchNorm, "ln": MaskedLayerNorm}
    model = SparK(case_encoder(case["model"]), case["decoder_width"], norms[case["densify_norm"]])
    load_weights(model, folder, case)
    optimizer = case["optimizer"]
    step = Step(model, options, beta2=optimizer["betas"][1], lr=optimizer["lr"],
                weight_decay=optimizer["weight_decay"])
    loss = step.run(image, inputs["active"].bool())
    gradients = {name: p.grad for name, p in model.named_parameters()}
    norm = sum(float(g.double().square().sum()) for g in gradients.values())**0.5
    comparison, tolerance = Comparison(), case["suggested_tolerance"]
    comparison.line("loss", abs(loss / case["loss_float64"] - 1), tolerance["loss"]["rel"])
    comparison.line("grad_norm", abs(norm / optimizer["grad_norm_float64"] - 1),
                    tolerance["grad_norm"]["rel"])
    if "recipe" not in case:
        compare_tensors(comparison, folder, case, model, gradients)
    return 1 if comparison.failed else 0


# ---- Steps and time ------------------------------------------------------------------------------


class Step:
    """A model with its optimizer, set up as the options say."""

    def __init__(self, model, options, beta2, lr=2e-4, weight_decay=0.04):
        self.format = getattr(torch, options.memory_format + "_format"
                              if options.memory_format == "contiguous" else options.memory_format)
        self.dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
        for layer in model.modules():
            if isinstance(layer, MaskedNorm):
                layer.gather = GATHERS[options.gather]
        model.train().to(memory_format=self.format)
        self.compiled = options.mode == "compile"
        self.optimizer = Lamb(model, beta2, lr, weight_decay, self.compiled)
        self.model = model
        self.forward = torch.compile(model) if self.compiled else model
        self.seconds = {}

    def run(self, image, active):
        """Returns the loss; `seconds` tells how long each part took."""
        times = [time.perf_counter()]
        image = image.contiguous(memory_format=self.format)
        for p in self.model.parameters():
            p.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            loss = self.forward(image, levels_of(active, image.shape[2], self.dtype))
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        self.optimizer.step()
        times.append(time.perf_counter())
        self.seconds = dict(zip(("forward", "backward", "optimizer"),
                                (b - a for a, b in zip(times, times[1:]))), step=times[3] - times[0])
        return loss.item()


def random_cells(batch, cells, mask_ratio, generator):
    keep = round(cells * cells * (1 - mask_ratio))
    order = torch.rand(batch, cells * cells, generator=generator).argsort(1)
    return (order.argsort(1) < keep).view(batch, 1, cells, cells)


def reset_resident_peak():
    """Linux forgets the peak so far; False where that is not possible."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return True
    except OSError:
        return False


def resident_peak():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def measure(options):
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    encoder = ENCODERS[options.model]()
    step = Step(SparK(encoder, options.decoder_width, encoder.densify_norm), options, encoder.beta2)
    image = torch.randn(options.batch, 3, options.size, options.size, generator=generator)
    warm_up_start, seconds, losses = time.perf_counter(), [], []
    reset = False
    for i in range(options.warm_up + options.steps):
        if i == options.warm_up:
            warm_up = time.perf_counter() - warm_up_start
            reset = reset_resident_peak()
        losses.append(step.run(image, random_cells(options.batch, options.size // 32, options.mask_ratio, generator)))
        if i >= options.warm_up:
            seconds.append(step.seconds)
    middle = {part: statistics.median(s[part] for s in seconds) for part in seconds[0]}
    return {
        "torch": torch.__version__, "model": options.model, "batch": options.batch,
        "threads": torch.get_num_threads(), "mode": options.mode, "dtype": options.dtype,
        "memory_format": options.memory_format, "gather": options.gather,
        "mask_ratio": options.mask_ratio,
        "images_per_second": options.batch / middle["step"], "step_seconds": middle["step"],
        "step_seconds_min": min(s["step"] for s in seconds),
        "step_seconds_max": max(s["step"] for s in seconds), "steps": options.steps,
        "forward_seconds": middle["forward"], "backward_seconds": middle["backward"],
        "optimizer_seconds": middle["optimizer"], "warm_up_seconds": warm_up,
        "resident_peak_bytes": resident_peak() if reset else None, "loss": losses[-1],
    }


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)

    def count(least):
        def check(text):
            if int(text) < least:
                raise argparse.ArgumentTypeError(f"at least {least}, not {text}")
            return int(text)
        check.__name__ = "whole number"
        return check

    def share(text):
        if not 0 <= float(text) < 1:
            raise argparse.ArgumentTypeError(f"from 0 to below 1, not {text}")
        return float(text)

    def multiple_of(unit):
        def check(text):
            if int(text) < unit or int(text) % unit:
                raise argparse.ArgumentTypeError(f"a multiple of {unit}, not {text}")
            return int(text)
        check.__name__ = "whole number"
        return check

    parser.add_argument("--model", choices=ENCODERS, default="resnet50")
    parser.add_argument("--batch", type=count(1), default=8)
    parser.add_argument("--threads", type=count(1), help="default: PyTorch's own choice")
    parser.add_argument("--steps", type=count(1), default=5, help="steps that are timed (5)")
    parser.add_argument("--warm-up", type=count(1), default=2, help="steps before those (2)")
    parser.add_argument("--mask-ratio", type=share, default=0.6)
    parser.add_argument("--size", type=multiple_of(32), default=224, help="of the pictures (224)")
    parser.add_argument("--decoder-width", type=multiple_of(32), default=768, help="(768)")
    parser.add_argument("--mode", choices=("eager", "compile"), default="eager")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32",
                        help="bf16: autocast")
    parser.add_argument("--memory-format", choices=("contiguous", "channels_last"),
                        default="contiguous")
    parser.add_argument("--gather", choices=GATHERS, default="rows",
                        help="of visible positions: by row numbers, or as the official program does")
    parser.add_argument("--seed", type=count(0), default=0)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument("--verify", metavar="DIR", help="compare a step with a reference case instead")
    return parser.parse_args()


def main():
    options = parse_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.verify:
        if options.dtype != "fp32":
            sys.exit("not supported: --verify with --dtype bf16; the cases are fp32")
        return verify(options.verify, options)
    result = measure(options)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"{result['images_per_second']:.3f} images/s, {result['step_seconds']:.3f} s a step "
              f"({result['step_seconds_min']:.3f} to {result['step_seconds_max']:.3f}), "
              f"{(result['resident_peak_bytes'] or 0) / 1e9:.2f} GB resident at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
