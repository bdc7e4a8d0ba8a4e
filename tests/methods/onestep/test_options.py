"""Options of the family."""

import pytest

from isrbench.harness.api.options import parse_options
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.options import OneStepOptions


@pytest.mark.parametrize("wrong", [{"overlap": 96}, {"prompts": "file"}, {"prompt": "x"}, {"timestep": -1}])
def test_options_refuse_what_does_not_fit(wrong):
    with pytest.raises(UserError):
        OneStepOptions(**wrong)


def test_the_older_name_of_dtype_still_works():
    assert parse_options(OneStepOptions, {"precision": "bf16"}) == OneStepOptions(dtype="bf16")
