"""The losses of one-step training against values computed by hand."""

import math

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train import losses


def test_vsd_by_hand():
    z = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    teacher = torch.tensor([2.0, 1.0]).view(1, 1, 1, 2)
    regulariser = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    # mean |z - teacher| = (1 + 2) / 2 = 1.5; the direction is (-2, 3) / 1.5.
    gradient = losses.vsd_gradient(z, regulariser, teacher)
    assert torch.allclose(gradient.flatten(), torch.tensor([-4 / 3, 2.0]))
    leaf = z.clone().requires_grad_()
    loss = losses.vsd_loss(leaf, gradient)
    loss.backward()
    # loss = mean(gradient^2) = (16/9 + 4) / 2; d loss / d z = 2 gradient / 2.
    assert loss.item() == pytest.approx((16 / 9 + 4) / 2)
    assert torch.allclose(leaf.grad, gradient)
    # A step against it moves z from the regulariser's opinion towards the teacher's.
    assert ((leaf - leaf.grad)[..., 0] > z[..., 0]).all()


def test_vsd_weighs_each_image_alone():
    z, a, b = (torch.randn(2, 4, 3, 3) for _ in range(3))
    both = losses.vsd_gradient(z, a, b)
    alone = torch.cat([losses.vsd_gradient(z[i : i + 1], a[i : i + 1], b[i : i + 1]) for i in range(2)])
    assert torch.equal(both, alone)


def test_gan_losses_by_hand():
    real, fake = [torch.tensor([2.0, 0.5])], [torch.tensor([-3.0, 0.0])]
    # hinge: mean(0, 0.5) + mean(0, 1)
    assert losses.discriminator_loss(real, fake, "hinge").item() == pytest.approx(0.75)
    assert losses.generator_gan_loss(fake, "hinge").item() == pytest.approx(1.5)
    soft = [math.log1p(math.exp(-v)) for v in (2.0, 0.5)], [math.log1p(math.exp(v)) for v in (-3.0, 0.0)]
    expected = sum(soft[0]) / 2 + sum(soft[1]) / 2
    assert losses.discriminator_loss(real, fake, "nonsaturating").item() == pytest.approx(expected)
    expected = (math.log1p(math.exp(3.0)) + math.log(2)) / 2
    assert losses.generator_gan_loss(fake, "nonsaturating").item() == pytest.approx(expected)


def test_heads_count_alike():
    heads = [torch.full((2, 1, 8, 8), 3.0), torch.full((2, 1, 2, 2), -1.0)]
    assert losses.generator_gan_loss(heads, "hinge").item() == pytest.approx(-1.0)


def test_r1_of_a_linear_head():
    x = torch.randn(3, 2, 4, 4, requires_grad=True)
    logits = 5 * x.mean(dim=(1, 2, 3))
    # the gradient is 5 / 32 everywhere: half its squared norm is 32 (5 / 32)^2 / 2
    assert losses.r1_penalty([logits], [x]).item() == pytest.approx(25 / 64)


def test_feature_distance_sees_directions_only():
    a = torch.randn(2, 8, 4, 4)
    assert losses.feature_distance([a], [3 * a]).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.feature_distance([a], [-a]).item() == pytest.approx(4.0, rel=1e-5)
    assert losses.feature_distance([a, a], [a, -a]).item() == pytest.approx(2.0, rel=1e-5)


def test_lpips_without_weights_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="LPIPS needs weights"):
        losses.load_lpips("cpu")
