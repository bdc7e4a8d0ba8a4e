"""Prompts of all kinds through a base with a text encoder of its own, and through `eval`."""

import gc
import json
import shutil
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from isrbench.harness.api.method import MethodPlugin, Prepares, Runtime
from isrbench.harness.api.registry import Registry
from isrbench.harness.engine.execution import execute
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.errors import UserError
from isrbench.harness.store.store import Store
from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, load_adapter, save_adapter
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.prompts import TAGS, FilePrompts, Tagger, load_tagger, make_prompter, read_tags
from isrbench.methods.onestep.options import OneStepOptions
from isrbench.methods.osediff.adapter import SPEC, DenseConfig, attach
from tests.support.images import write_pairs
from tests.support.onestep_base import one_thread, write_base  # noqa: F401
from tests.support.text import LENGTH, LETTERS, write_clip, write_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prompts")
    base = load_base(str(write_text(write_base(folder / "base"))))
    adapter = attach(base.unet, base.vae, DenseConfig(rank=2), 0)
    state = adapter.state_dict()
    checkpoint = AdapterCheckpoint("osediff", asdict(adapter.config), base.base_hash, state, timestep=249)
    save_adapter(folder / "a.safetensors", checkpoint)
    return folder


@pytest.fixture
def build(folder):
    def build(**options):
        options = {"base": str(folder / "base"), "adapter": folder / "a.safetensors", **options}
        return build_method(OneStepOptions(**options), Runtime(4), SPEC)

    return build


LR = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))


def restored(method, image="x"):
    return method.restore(LR, image=image, seed=0).image


def test_a_prompt_is_tokenised_padded_cut_and_encoded(folder):
    text = load_base(str(folder / "base")).text
    assert text.takes_text
    for prompt in ("", "a cat", "a very long prompt that goes on and on"):
        ids = [LETTERS.index(word[-1]) + len(LETTERS) if at == len(word) - 1 else LETTERS.index(letter)
               for word in prompt.split() for at, letter in enumerate(word)]  # fmt: skip
        start, end = 2 * len(LETTERS), 2 * len(LETTERS) + 1
        ids = [start, *ids[: LENGTH - 2], end]
        ids += [end] * (LENGTH - len(ids))
        expected = CLIPTextModel.from_pretrained(folder / "base/text_encoder").eval()(torch.tensor([ids]))[0]
        assert text.embed(prompt).shape == (1, LENGTH, 8)
        assert torch.allclose(text.embed(prompt), expected, atol=1e-6)
    positive, negative = text.pair("good", "bad")
    assert torch.equal(positive, text.embed("good")) and torch.equal(negative, text.embed("bad"))


def text_encoders():
    gc.collect()
    return sum(isinstance(thing, CLIPTextModel) for thing in gc.get_objects())


def test_one_prompt_for_all_images_leaves_no_text_encoder_in_memory(build, tmp_path):
    (tmp_path / "prompts.txt").write_text("x\ta cat\n")
    before = text_encoders()
    fixed = build(prompts="fixed", prompt="a cat")
    assert text_encoders() == before
    from_file = build(prompts="file", prompt_file=tmp_path / "prompts.txt")
    assert text_encoders() == before + 1
    assert torch.equal(restored(fixed), restored(from_file)) and fixed.cost(8, 8) == from_file.cost(8, 8)


def test_none_fixed_and_file_reach_the_unet(build, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("x\ta cat\ny\t\nz\ta dog\n")
    none, fixed = restored(build()), restored(build(prompts="fixed", prompt="a cat"))
    from_file = build(prompts="file", prompt_file=file)
    assert not torch.equal(none, fixed)
    assert torch.equal(restored(from_file), fixed) and torch.equal(restored(from_file, "y"), none)
    assert not torch.equal(restored(from_file, "z"), fixed)
    assert from_file.input_hash("x") != from_file.input_hash("z")
    for ask in (from_file.input_hash, lambda image: restored(from_file, image)):
        with pytest.raises(UserError, match="no line for image 'w'"):
            ask("w")  # this image alone: nothing asks for all prompts at once
    assert not isinstance(from_file, Prepares)


def test_the_prompt_of_the_training_is_the_default(build, folder, tmp_path):
    checkpoint = load_adapter(folder / "a.safetensors")
    save_adapter(tmp_path / "own.safetensors", replace(checkpoint, training={"prompt": "a cat"}))
    own = tmp_path / "own.safetensors"
    assert torch.equal(restored(build(adapter=own)), restored(build(prompts="fixed", prompt="a cat")))
    assert torch.equal(restored(build(adapter=own, prompts="none")), restored(build()))
    each = tmp_path / "each.safetensors"
    save_adapter(each, replace(checkpoint, training={"prompt": "", "data": {"prompts": "tags.tsv"}}))
    with pytest.raises(UserError, match="trained with a prompt for each photo"):
        build(adapter=each)
    assert torch.equal(restored(build(adapter=each, prompts="none")), restored(build()))


def test_a_base_with_another_text_encoder_is_another_base(build, folder, tmp_path):
    base = shutil.copytree(folder / "base", tmp_path / "base")
    assert build(base=str(base)).weights_hash == build().weights_hash
    weights = base / "text_encoder/model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(UserError, match="another base"):
        build(base=str(base))
    shutil.copytree(folder / "base/text_encoder", base / "text_encoder", dirs_exist_ok=True)
    build(base=str(base))
    vocabulary = base / "tokenizer/vocab.json"
    ids = json.loads(vocabulary.read_text())
    vocabulary.write_text(json.dumps(ids | {"a": ids["b"], "b": ids["a"]}))
    with pytest.raises(UserError, match="another base"):
        build(base=str(base))


@pytest.mark.parametrize("part", ["text_encoder/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"])
def test_the_weights_hash_sees_what_half_precision_hides(build, folder, tmp_path, part):
    base = shutil.copytree(folder / "base", tmp_path / "base")
    weights = base / f"{part}.safetensors"
    tensors = load_file(weights)
    hidden = {name: tensor.half().float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    assert any(not torch.equal(hidden[name], tensor) for name, tensor in tensors.items())
    save_file(hidden, weights, {"format": "pt"})
    assert build(base=str(base)).weights_hash != build().weights_hash, "the adapter fits, the images differ"


def test_one_image_without_a_prompt_fails_alone(folder, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a\ta cat\n")
    pairs = write_pairs(tmp_path / "small", ["a", "b"], lr=8)
    methods = Registry("method", MethodPlugin)
    methods.register("osediff", "isrbench.methods.osediff.plugin:PLUGIN")
    options = {"base": folder / "base", "adapter": folder / "a.safetensors", "prompts": "file", "prompt_file": file}
    request = Request(
        method="osediff", dataset=str(pairs), options={k: str(v) for k, v in options.items()}, metrics=("psnr",),
        runs_dir=tmp_path / "runs", estimator="none", complexity=False, device="cpu", workers=1,
    )  # fmt: skip
    store = Store(request.runs_dir)
    outcome = execute(make_plan(request, methods), store)
    failures = {row.image: row.failure.message for row in store.images(outcome.run) if row.failure is not None}
    assert outcome.failed == 1 and list(failures) == ["b"] and "no line for image 'b'" in failures["b"]
    file.write_text("a\ta cat\nb\ta dog\n")
    plan = make_plan(request, methods)
    outcome = execute(plan, store)
    assert outcome.failed == 0 and len(list((store.folder / outcome.run).rglob("*.png"))) == 2


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def tags(tmp_path):
    path = tmp_path / "tags.toml"
    path.write_text('tags = ["cat", "dog", "house", "tree"]\ntemplate = "a photo of a {}"\n')
    return path


def test_tags_of_a_real_clip_model_become_the_prompt(build, clip, tags):
    options = {"prompts": "tags", "tag_model": str(clip), "tag_list": tags, "tag_count": 2}
    method = build(**options)
    prompt = method.prompter("x", LR)
    assert isinstance(method.prompter, Tagger)
    chosen = prompt.split(", ")
    assert len(set(chosen)) == 2 and set(chosen) <= {"cat", "dog", "house", "tree"}
    assert torch.equal(restored(method), restored(build(prompts="fixed", prompt=prompt)))
    all_four = build(**options | {"tag_count": 9}).prompter("x", LR).split(", ")
    assert all_four[:2] == chosen and sorted(all_four) == ["cat", "dog", "house", "tree"]


def test_a_tagger_is_known_by_its_weights_its_tags_and_their_number(clip, tags, tmp_path):
    first = load_tagger(str(clip), tags, 2, "cpu").tags_hash
    assert load_tagger(str(clip), tags, 2, "cpu").tags_hash == first
    others = {load_tagger(str(clip), tags, 3, "cpu").tags_hash}
    state = load_file(clip / "open_clip_model.safetensors")
    name = next(name for name in state if name.startswith("visual") and state[name].ndim == 4)
    state[name][0, 0, 0, 0] += 1e-3
    other = tmp_path / "other"
    other.mkdir()
    save_file(state, other / "open_clip_model.safetensors")
    (other / "open_clip_config.json").write_text((clip / "open_clip_config.json").read_text())
    others.add(load_tagger(str(other), tags, 2, "cpu").tags_hash)
    tags.write_text(tags.read_text().replace("photo", "picture"))
    others.add(load_tagger(str(clip), tags, 2, "cpu").tags_hash)
    assert len(others | {first}) == 4


def test_a_tag_list_or_model_that_does_not_fit_is_refused(clip, tmp_path):
    path = tmp_path / "tags.toml"
    for text in ("tags = []\ntemplate = '{}'", "tags = ['a']\ntemplate = 'a'", "tags = [1]\ntemplate = '{}'", "tags ="):
        path.write_text(text)
        with pytest.raises(UserError, match="tag list"):
            make_prompter(OneStepOptions(prompts="tags", tag_model=str(clip), tag_list=path), "", "cpu")
    with pytest.raises(UserError, match="neither 'tiny', nor a folder"):
        make_prompter(OneStepOptions(prompts="tags", tag_model="no/such"), "", "cpu")


def test_prompt_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a\ta house\nb\t\n")
    prompts = FilePrompts(path)
    assert prompts("a", torch.zeros(3, 1, 1)) == "a house" and prompts.of("b") == ""
    with pytest.raises(UserError, match="no line for image 'c'"):
        prompts.of("c")
    for text in ("no tab", "a\tx\na\ty"):
        path.write_text(text)
        with pytest.raises(UserError):
            FilePrompts(path)


def test_tags_are_those_of_highest_similarity():
    class Clip(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = torch.nn.Module()
            self.visual.image_size, self.visual.image_mean, self.visual.image_std = 4, (0, 0, 0), (1, 1, 1)
            self.logit_scale = torch.nn.Parameter(torch.tensor(10.0).log())

        def encode_image(self, x):
            return x.mean((2, 3))

        def encode_text(self, tokens):
            return torch.eye(3)[tokens]

    def tokens(texts):
        return torch.tensor([t.startswith("a green") + 2 * t.endswith("blue") for t in texts])

    tagger = Tagger(Clip(), tokens, ["red", "green", "blue"], "a {}", 2)
    lr = torch.zeros(3, 5, 5)
    lr[2], lr[1] = 0.9, 0.4
    assert tagger("x", lr) == "blue, green"
    # Cosines are 0, 0.41 and 0.91 at a scale of 10: green is exp(-5.1), 0.6%, as likely as blue.
    for floor, said in ((0.5, "blue"), (0.007, "blue"), (0.005, "blue, green"), (1.0, "blue")):
        assert Tagger(Clip(), tokens, ["red", "green", "blue"], "a {}", 2, floor)("x", lr) == said
    tags, template = read_tags(TAGS)
    assert len(tags) == len(set(tags)) > 100 and "{}" in template
