"""Layers give what their papers' equations say, written out as plain loops."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from models.layers.attention import FieldAttention
from models.layers.cross import (
    CompressedInteraction,
    CrossMixture,
    CrossNetwork,
    GatedCross,
    VectorCross,
)
from models.layers.entmax import entmax
from models.layers.factorized import FactorizedBlock, FactorizedLayer, FieldGate
from models.layers.interaction import BilinearPairs, Pairs, inner_products
from models.layers.mask import MaskBlock
from models.layers.polar import EulerInteraction
from models.layers.squeeze import SqueezeExcitation
from models.vocabulary import KeyCounts
from models.zoo.armnet import ExponentialNeurons
from models.zoo.finalnet import FinalNetConfig, build
from models.zoo.fmfm import FmFMHead
from models.zoo.fwfm import FwFMHead
from tests.unit.models.conftest import SIGNATURE, sample

ROWS, FIELDS, WIDTH, LABELS = 3, 4, 5, 2
PAIRS = list(combinations(range(FIELDS), 2))
NONE = torch.zeros(ROWS, 0)


@pytest.fixture
def fields() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(ROWS, FIELDS, WIDTH)


def randomised(module: nn.Module) -> nn.Module:
    """The module with weights that hide no term: none is 0 or 1."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def test_inner_products_are_of_every_pair_in_order(fields: Tensor) -> None:
    expected = torch.stack([(fields[:, i] * fields[:, j]).sum(1) for i, j in PAIRS], 1)
    torch.testing.assert_close(inner_products(fields, Pairs(FIELDS)), expected)


@pytest.mark.parametrize("per_field", [False, True])
def test_bilinear_pairs(fields: Tensor, per_field: bool) -> None:
    layer = BilinearPairs(FIELDS, WIDTH, per_field=per_field)
    matrices = [layer.matrix[i if per_field else 0] for i in range(FIELDS)]
    expected = torch.stack([(fields[:, i] @ matrices[i]) * fields[:, j] for i, j in PAIRS], 1)
    torch.testing.assert_close(layer(fields), expected)


def factors_of(fields: Tensor) -> tuple[Tensor, Tensor]:
    """Table rows of two labels: their linear weights (B, F, T) and factors (B, F, T, D)."""
    rows = torch.cat([fields, fields.flip(2)], 2).reshape(ROWS, FIELDS, LABELS, WIDTH)
    return rows[..., 0], rows[..., 1:]


def test_a_field_weighted_machine_weighs_each_pair_once(fields: Tensor) -> None:
    head = randomised(FwFMHead(FIELDS, LABELS, WIDTH - 1))
    linear, v = factors_of(fields)
    expected = head.bias + linear.sum(1)
    for label in range(LABELS):
        for i, j in PAIRS:
            dot = (v[:, i, label] * v[:, j, label]).sum(1)
            expected[:, label] = expected[:, label] + head.strength[label, i, j] * dot
    torch.testing.assert_close(head(torch.cat([fields, fields.flip(2)], 2), NONE), expected)


def test_a_field_matrixed_machine_turns_the_first_of_each_pair(fields: Tensor) -> None:
    head = randomised(FmFMHead(FIELDS, LABELS, WIDTH - 1))
    linear, v = factors_of(fields)
    expected = head.bias + linear.sum(1)
    for label in range(LABELS):
        for pair, (i, j) in enumerate(PAIRS):
            turned = v[:, i, label] @ head.matrices[label, pair]
            expected[:, label] = expected[:, label] + (turned * v[:, j, label]).sum(1)
    torch.testing.assert_close(head(torch.cat([fields, fields.flip(2)], 2), NONE), expected)


def test_cross_networks(fields: Tensor) -> None:
    x = fields[:, 0]
    matrix, vector, gated = (
        randomised(kind(WIDTH, 2)) for kind in (CrossNetwork, VectorCross, GatedCross)
    )
    of_matrix = of_vector = of_gated = x
    for layer in range(2):
        linear = matrix.layers[layer]
        of_matrix = x * (of_matrix @ linear.weight.T + linear.bias) + of_matrix
        weight, bias = vector.weights[layer].weight[0], vector.biases[layer]
        of_vector = x * (of_vector @ weight).unsqueeze(1) + bias + of_vector
        linear, gate = gated.layers[layer], gated.gates[layer]
        opened = torch.sigmoid(of_gated @ gate.weight.T)
        of_gated = x * (of_gated @ linear.weight.T + linear.bias) * opened + of_gated
    torch.testing.assert_close(matrix(x), of_matrix)
    torch.testing.assert_close(vector(x), of_vector)
    torch.testing.assert_close(gated(x), of_gated)


def test_compressed_interactions(fields: Tensor) -> None:
    maps = (3, 2)
    layer = randomised(CompressedInteraction(FIELDS, maps))
    before, sums = fields, []
    for count, linear in zip(maps, layer.layers, strict=True):
        weights = linear.weight.reshape(count, before.shape[1], FIELDS)
        after = torch.zeros(ROWS, count, WIDTH)
        for m in range(count):
            for i in range(before.shape[1]):
                for j in range(FIELDS):
                    after[:, m] += weights[m, i, j] * before[:, i] * fields[:, j]
        sums.append(after.sum(2))
        before = after
    torch.testing.assert_close(layer(fields), torch.cat(sums, 1), rtol=1e-4, atol=1e-4)


def test_squeeze_and_excitation(fields: Tensor) -> None:
    layer = randomised(SqueezeExcitation(FIELDS, 2))
    means = fields.mean(2)
    weights = torch.relu(torch.relu(means @ layer.squeeze.weight.T) @ layer.excite.weight.T)
    expected = torch.stack([fields[:, i] * weights[:, i : i + 1] for i in range(FIELDS)], 1)
    torch.testing.assert_close(layer(fields), expected)


def test_a_mask_is_made_of_the_row_and_multiplies_what_is_seen(fields: Tensor) -> None:
    row, seen = fields[:, 0], fields[:, 1, :3]
    block = randomised(MaskBlock(WIDTH, 3, 4, reduction=2))
    hidden = torch.relu(row @ block.aggregate.weight.T + block.aggregate.bias)
    mask = hidden @ block.project.weight.T + block.project.bias
    normed = nn.functional.layer_norm(
        (mask * seen) @ block.hidden.weight.T, (4,), block.norm.weight, block.norm.bias
    )
    torch.testing.assert_close(block(row, seen), torch.relu(normed))


@pytest.mark.parametrize("layer_norm", [False, True])
def test_attention_of_fields(fields: Tensor, layer_norm: bool) -> None:
    layer = randomised(FieldAttention(WIDTH, 6, 2, layer_norm=layer_norm, dropout=0.5)).eval()
    q, k, v = (fields @ part.T for part in layer.project.weight.chunk(3))
    heads = []
    for head in range(2):
        of = slice(3 * head, 3 * head + 3)
        weights = torch.softmax(q[..., of] @ k[..., of].transpose(1, 2) / 3**0.5, 2)
        heads.append(weights @ v[..., of])
    expected = torch.relu(torch.cat(heads, 2) + fields @ layer.residual.weight.T)
    torch.testing.assert_close(layer(fields), layer.norm(expected))


def test_attention_looks_at_no_other_row(fields: Tensor) -> None:
    layer = randomised(FieldAttention(WIDTH, 6, 2, layer_norm=True, dropout=0.0)).eval()
    torch.testing.assert_close(layer(fields)[:1], layer(fields[:1]))


def test_a_factorised_layer_multiplies_two_linear_ones(fields: Tensor) -> None:
    layer, x = randomised(FactorizedLayer(WIDTH, 3)), fields[:, 0]
    plain = x @ layer.both.weight[:3].T + layer.both.bias[:3]
    factor = x @ layer.both.weight[3:].T + layer.both.bias[3:]
    torch.testing.assert_close(layer(x), plain + plain * factor)


def test_factorised_layers_double_the_order_each_time(fields: Tensor) -> None:
    block = randomised(FactorizedBlock(WIDTH, (4, 4), batch_norm=False)).double().eval()
    x = fields[:, 0].double()
    # Along a line the fourth difference of a polynomial of order 4 is constant, and no earlier one.
    values = torch.stack([block(step * x) for step in range(8)])
    differences = [torch.diff(values, n=order, dim=0) for order in (3, 4)]
    assert (differences[0][0] - differences[0][1]).abs().max() > 1e-6
    torch.testing.assert_close(differences[1][0], differences[1][1])


def test_a_field_gate_begins_as_the_fields_twice_and_mixes_place_by_place(fields: Tensor) -> None:
    gate = FieldGate(FIELDS)
    torch.testing.assert_close(gate(fields), torch.cat([fields, fields], 1))
    randomised(gate)
    mixed = [
        sum(gate.mix.weight[f, g] * fields[:, g] for g in range(FIELDS)) + gate.mix.bias[f]
        for f in range(FIELDS)
    ]
    expected = torch.cat([fields, fields * torch.stack(mixed, 1)], 1)
    torch.testing.assert_close(gate(fields), expected)


def test_the_blocks_of_a_finalnet_learn_from_their_mean() -> None:
    counts, data = KeyCounts(SIGNATURE.categorical), sample(16)
    counts.update(data.keys)
    model = build(FinalNetConfig(dropout=0.0), SIGNATURE, counts.fit()).eval()
    with torch.no_grad():
        model.table.normal_()
    rows = [torch.from_numpy(column) for column in data]
    fields, scaled = model.dense.fields(*rows[:2], model.table, model.slots)
    first, second = model.dense.head.both(fields, scaled)
    mean = (first + second) / 2
    torch.testing.assert_close(model(*rows[:2]), mean)
    target = torch.sigmoid(mean)
    expected = sum(
        -(y * nn.functional.logsigmoid(z) + (1 - y) * nn.functional.logsigmoid(-z)).mean()
        for y, z in ((rows[2], mean), (target, first), (target, second))
    )
    torch.testing.assert_close(model.loss(*rows), expected)


def test_a_mixture_of_low_rank_crosses_is_the_gated_sum_of_its_experts() -> None:
    torch.manual_seed(2)
    layer = randomised(CrossMixture(6, 2, experts=3, rank=2))
    x0 = torch.randn(ROWS, 6)
    x = x0
    for gate, down, inner, up in zip(layer.gates, layer.down, layer.inner, layer.up, strict=True):
        gates, mixed = torch.softmax(gate(x), 1), torch.zeros(ROWS, 6)
        for i in range(3):
            v, u = down.weight[2 * i : 2 * i + 2], up.weight[:, 2 * i : 2 * i + 2]
            low = torch.tanh(torch.tanh(x @ v.T) @ inner[i])
            mixed += gates[:, i : i + 1] * (low @ u.T + up.bias)
        x = x0 * mixed + x
    torch.testing.assert_close(layer(x0), x)


def test_a_layer_of_eulernet_multiplies_powers_of_complex_numbers(fields: Tensor) -> None:
    torch.manual_seed(3)
    layer = randomised(EulerInteraction(FIELDS, 2, WIDTH, dropout=0.0)).eval()
    imaginary = fields.flip(0)
    z = torch.complex(fields, imaginary)
    parts = []
    for o in range(2):
        product = torch.ones(ROWS, WIDTH, dtype=torch.complex64)
        for j in range(FIELDS):
            product = product * z[:, j] ** layer.powers[o, j]
        parts.append(product * torch.exp(torch.complex(layer.log_scale[o], layer.turn[o])))
    explicit = torch.stack(parts, 1)

    def implicit(part: Tensor) -> Tensor:
        return torch.relu(layer.implicit(part.flatten(1))).reshape(ROWS, 2, WIDTH)

    real, turned = layer(fields, imaginary)
    torch.testing.assert_close(real, layer.norm_real(explicit.real + implicit(fields)))
    torch.testing.assert_close(
        turned, layer.norm_imaginary(explicit.imag + implicit(imaginary)), rtol=1e-4, atol=1e-5
    )


def test_nothing_at_all_gives_eulernet_no_infinite_gradient() -> None:
    layer = EulerInteraction(FIELDS, 2, WIDTH, dropout=0.0)
    nothing = torch.zeros(ROWS, FIELDS, WIDTH, requires_grad=True)
    real, imaginary = layer(nothing, nothing)
    (real.sum() + imaginary.square().sum()).backward()
    assert torch.isfinite(real).all()
    assert nothing.grad is not None
    assert torch.isfinite(nothing.grad).all()


def entmax_by_halving(scores: Tensor, alpha: float) -> Tensor:
    """The definition: tau found by halving the interval that it must lie in."""
    scaled, power = (alpha - 1) * scores, 1 / (alpha - 1)
    low, high = scaled.amax(-1, keepdim=True) - 1, scaled.amax(-1, keepdim=True)
    for _ in range(60):
        middle = (low + high) / 2
        is_above = (scaled - middle).clamp_min(0).pow(power).sum(-1, keepdim=True) >= 1
        low, high = torch.where(is_above, middle, low), torch.where(is_above, high, middle)
    return (scaled - low).clamp_min(0).pow(power)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.7, 2.0])
@pytest.mark.parametrize("count", [1, 2, 30, 300])
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 100.0])
def test_entmax_is_its_definition(alpha: float, count: int, spread: float) -> None:
    torch.manual_seed(4)
    scores = spread * torch.randn(50, count, dtype=torch.float64)
    found = entmax(scores.float(), alpha)
    torch.testing.assert_close(found.sum(-1), torch.ones(50), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.double(), entmax_by_halving(scores, alpha), rtol=0, atol=1e-4)


def test_entmax_gives_nothing_to_what_scores_low_and_its_gradient_is_right() -> None:
    torch.manual_seed(5)
    scores = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert (entmax(4 * scores, 1.5) == 0).any()
    for alpha in (1.3, 1.5, 2.0):
        assert torch.autograd.gradcheck(lambda s, a=alpha: entmax(s, a), scores)


def test_exponential_neurons_are_products_of_powers(fields: Tensor) -> None:
    torch.manual_seed(6)
    layer = randomised(ExponentialNeurons(FIELDS, WIDTH, heads=2, neurons=3, alpha=1.5))
    outputs = []
    for head in range(2):
        for neuron in range(3):
            query = layer.query[head, neuron] @ layer.turn[head]
            weights = entmax_by_halving((fields @ query), 1.5)
            powers = weights * layer.value[3 * head + neuron]
            outputs.append(torch.exp((powers.unsqueeze(2) * fields).sum(1)))
    torch.testing.assert_close(layer(fields), torch.stack(outputs, 1), rtol=1e-3, atol=1e-4)
