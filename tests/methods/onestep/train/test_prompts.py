"""A prompt for each training photo: from the file to every network, through resuming, and the tool that writes it."""

# ruff: noqa: F811  (fixtures)
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.imaging.photos import read_photo
from isrbench.methods.onestep.base.text import TextEncoder
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.onestep.train import tags
from isrbench.methods.onestep.train.config import Data, parse_config
from isrbench.methods.onestep.train.data import check_photos, open_loader, photo_of
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.photos import find_photos
from isrbench.methods.onestep.train.prompts import prompts_of
from isrbench.methods.onestep.train.step import run_micro_batch
from tests.support.text import write_clip, write_text
from tests.support.training_world import CPU, DENSE, begin, light, run, same, same_state, state, world  # noqa: F401

LINES = ["0\ta cat", "1.png\ta dog", "2\t", "3\ta house, a tree", "other\tunused"]
PROMPTS = ["a cat", "a dog", "", "a house, a tree"]


@pytest.fixture(scope="module")
def texts(world, tmp_path_factory):
    """The micro world with a base that takes text, and a file of prompts."""
    root = tmp_path_factory.mktemp("texts")
    shutil.copytree(world, root, dirs_exist_ok=True)
    write_text(root / "base")
    (root / "prompts.tsv").write_text("\n".join(LINES))
    return root


def with_prompts(root, file="prompts.tsv"):
    return {"data": {"prompts": str(root / file)}}


def test_each_item_has_the_prompt_of_its_photo(texts, tmp_path):
    nets = begin(texts, tmp_path, DENSE, **with_prompts(texts)).nets
    data = Data(folders=(str(texts / "photos"),), crop=48, workers=0)
    batch = next(open_loader(data, 0, 8, list(range(8))))
    colours = [colours_of(to_tensor(read_photo(photo.path))) for photo in find_photos(data.folders)]
    seen = [next(i for i, known in enumerate(colours) if colours_of(crop) <= known) for crop in batch.hr]
    assert seen == [photo_of(0, n, 4) for n in range(8)] and len(set(seen)) > 2
    assert nets.prompts is not None
    expected = torch.cat([nets.base.text.embed(PROMPTS[photo]) for photo in seen])
    assert torch.equal(nets.prompts(batch.items), expected)


def colours_of(pixels):
    return set(map(tuple, (pixels * 255).round().int().flatten(1).T.tolist()))


def test_prompts_reach_generator_teacher_regulariser_and_features(texts, tmp_path):
    one = begin(texts, tmp_path, DENSE, **with_prompts(texts))
    seen = []
    unet = one.nets.base.unet
    unet.register_forward_pre_hook(lambda _, args, kw: seen.append(kw["encoder_hidden_states"]), with_kwargs=True)
    items = next((n, n + 1) for n in range(20) if photo_of(0, n, 4) != photo_of(0, n + 1, 4))
    batch = next(open_loader(one.config.data, 0, 2, list(items)))
    draws = draw(0, batch.items, one.latent, one.config.losses, CPU)
    run_micro_batch(one.nets, one.config.losses, batch, draws, 0, 1.0)
    own = torch.cat([one.nets.base.text.embed(PROMPTS[photo_of(0, n, 4)]) for n in items])
    assert not torch.equal(own[0], own[1])
    # The generator, the teacher with the negative prompt behind, the regulariser twice, the features of both images.
    assert sorted(len(embedding) for embedding in seen) == [2] * 5 + [4]
    assert all(torch.equal(embedding[:2], own) for embedding in seen)
    teacher = next(embedding for embedding in seen if len(embedding) == 4)
    assert torch.equal(teacher[2:], one.nets.negative.expand(2, -1, -1))


def test_one_prompt_in_a_file_trains_as_the_prompt_itself(texts, tmp_path):
    (tmp_path / "all.tsv").write_text("".join(f"{n}\ta cat\n" for n in range(4)))
    by_file = run(texts, tmp_path / "file", DENSE, steps=2, **with_prompts(tmp_path, "all.tsv"))
    by_name = run(texts, tmp_path / "name", DENSE, steps=2, prompt="a cat")
    others = run(texts, tmp_path / "others", DENSE, steps=2, **with_prompts(texts))
    adapters = [one.nets.adapter.state_dict() for one in (by_file, by_name, others)]
    assert same(adapters[0], adapters[1]) and not same(adapters[0], adapters[2])


def test_a_run_goes_on_with_its_prompts_only_wherever_they_lie(texts, tmp_path):
    moved = shutil.copy(texts / "prompts.tsv", tmp_path / "moved.tsv")
    run(texts, tmp_path / "whole", DENSE, **with_prompts(texts))
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    for name in ("adapter.safetensors", "states/state-4.pt"):
        (tmp_path / "parts" / name).unlink()
    run(texts, tmp_path / "parts", DENSE, resume=True, **with_prompts(tmp_path, "moved.tsv"))
    assert same_state(state(tmp_path / "whole", 4), state(tmp_path / "parts", 4))
    recorded = load_adapter(tmp_path / "parts/adapter.safetensors").training["data"]
    assert (recorded["prompts"], recorded["folders"]) == ("moved.tsv", ["photos"])
    Path(moved).write_text("\n".join(LINES).replace("dog", "hog"))
    with pytest.raises(UserError, match=r"was trained with other prompts: lines of data.prompts"):
        begin(texts, tmp_path / "parts", DENSE, resume=True, **with_prompts(tmp_path, "moved.tsv"))


def test_photos_without_prompts_are_counted(texts, tmp_path):
    (tmp_path / "two.tsv").write_text("0\tx\n2\ty\n")
    data = Data(folders=(str(texts / "photos"),), prompts=str(tmp_path / "two.tsv"))
    with pytest.raises(UserError, match=r"two.tsv has no line for 2 of 4 photos, the first is '1'"):
        check_photos(data)
    assert check_photos(data.model_copy(update={"folders": (f"{texts / 'photos'}:1",)}))["prompts"] is not None


def test_two_photos_of_one_name_need_a_folder_above_both(texts, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(texts / "photos", tmp_path / name)
    with pytest.raises(UserError, match=r"cannot tell \S*a/0.png from \S*b/0.png: both are '0'"):
        prompts_of(find_photos([str(tmp_path / "a"), str(tmp_path / "b")]), texts / "prompts.tsv")
    (tmp_path / "all.tsv").write_text("".join(f"{name}/{n}.png\t{name}{n}\n" for name in "ab" for n in range(4)))
    assert prompts_of(find_photos([str(tmp_path)]), tmp_path / "all.tsv") == [f"{a}{n}" for a in "ab" for n in range(4)]


def test_a_base_of_fixed_embeddings_and_a_hub_dataset_take_no_prompts(world, texts, tmp_path):
    with pytest.raises(UserError, match="one fixed prompt and takes no text"):
        begin(world, tmp_path, DENSE, **with_prompts(texts))
    with pytest.raises(UserError, match=r"data\.prompts names photos of --data"):
        parse_config("mor", ["data.hub=owner/name", "data.prompts=prompts.tsv"])


def test_embeddings_of_many_prompts_are_not_all_kept():
    calls = []

    class Model:
        device = CPU

        def __call__(self, ids):
            calls.append(int(ids))
            return (torch.full((1, 2, 3), float(ids)),)

    def tokenizer(prompt, **_):
        return SimpleNamespace(input_ids=torch.tensor(int(prompt)))

    tokenizer.model_max_length = 2
    text = TextEncoder(None, tokenizer, Model())
    for _ in range(2):
        assert text.embed("0").mean() == 0
    assert calls == [0], "a prompt that comes again is not encoded again"
    for n in range(1000):
        text.embed(str(n))
    assert text.embed("0").mean() == 0 and len(calls) == 1001
    text.embed("999")
    assert len(calls) == 1001


def test_the_tool_writes_what_training_reads(texts, tmp_path):
    clip = tmp_path / "clip"
    clip.mkdir()
    write_clip(clip)
    (tmp_path / "tags.toml").write_text('tags = ["cat", "dog", "house", "tree"]\ntemplate = "a photo of a {}"\n')
    given = ["--data", f"{texts / 'photos'}:3", "--model", str(clip), "--tag-list", str(tmp_path / "tags.toml")]

    def written(name, *more):
        assert tags.main([*given, "--out", str(tmp_path / name), "--device", "cpu", *more]) == 0
        return prompts_of(find_photos([f"{texts / 'photos'}:3"]), tmp_path / name)

    whole, two = (written(f"{count}.tsv", "--count", count, "--floor", "0") for count in ("4", "2"))
    assert [sorted(prompt.split(", ")) for prompt in whole] == [["cat", "dog", "house", "tree"]] * 3
    assert all(a.startswith(f"{b}, ") and b.count(", ") == 1 for a, b in zip(whole, two, strict=True))
    best = written("best.tsv", "--floor", "1")
    assert [prompt.split(", ")[0] for prompt in whole] == best
    some = written("some.tsv", "--count", "4", "--floor", "0.8")
    assert all(a.startswith(b) for a, b in zip(whole, some, strict=True))
    for more, message in ((["--out", str(tmp_path / "4.tsv")], "4.tsv is there already"), (["--floor", "2"], "is 2")):
        with pytest.raises(UserError, match=message):
            tags.main([*given, "--out", str(tmp_path / "new.tsv"), *more])
