"""Pictures hold what they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from adlib import models, plots
from adlib.plots import published
from adlib.study.beyond import cost
from adlib.study.verdict import verdicts


@pytest.fixture(autouse=True)
def closed():
    """Close the figures of a test."""
    yield
    plt.close("all")


def test_frames_mark_the_images_that_are_named():
    """Would catch a frame around the wrong image, and panels in different orders."""
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 4, 4)
    figure = plots.mosaics({"a": images, "b": images}, [False, True, False, False, True])
    for part in figure.subfigs:
        shown = [ax for ax in part.axes if ax.images]
        assert [int(ax.images[0].get_array()[0, 0]) for ax in shown] == [0, 1, 2, 3, 4]
        framed = [ax.spines["left"].get_visible() for ax in shown]
        assert framed == [False, True, False, False, True]


def test_galleries_show_every_image_of_columns_that_differ_in_length():
    """Would catch images that are left out where the first column has fewer, and empty frames."""
    columns = {"a": torch.zeros(1, 1, 4, 4), "b": torch.zeros(3, 1, 4, 4)}
    axes = np.reshape(plots.gallery(columns, ["x"]).axes, (3, 2))
    assert [[len(ax.images) for ax in line] for line in axes] == [[1, 1], [0, 1], [0, 1]]
    assert [[ax.get_visible() for ax in line] for line in axes][1:] == [[False, True]] * 2


def test_pixel_differences_are_shares():
    """Would catch counts drawn as shares, or one group scaled by the size of the other."""
    figure = plots.pixel_differences({"a": np.zeros((3, 8, 8)), "b": np.full((1, 8, 8), 100.0)})
    for stairs in figure.axes[0].patches:
        assert stairs.get_data().values.sum() == pytest.approx(1)


def test_sweeps_draw_every_setting_in_order():
    """Would catch a curve whose points are joined in the order of the runs."""
    table = pd.DataFrame({
        "setting": ["latent"] * 3 + ["weight"] * 2, "x": [100, 25, 400, 1.0, 50.0],
        "value": [0.5, 0.6, 0.7, 0.8, 0.9], "low": 0.4, "high": 0.95,
    })  # fmt: skip
    figure = plots.sweeps(table, "auROC")
    assert [ax.get_xlabel() for ax in figure.axes] == ["latent", "weight"]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [25, 100, 400]


def test_bars_stand_beside_what_was_published():
    """Would catch a published value at another method's bar, and a row without its number."""
    table = pd.DataFrame({"method": ["a", "b"], "value": [2.5, 7120], "published": [np.nan, 30.0],
                          "elsewhere": [False, True]})  # fmt: skip
    (axes,) = plots.log_bars(table, "ms").axes
    (diamonds,) = axes.collections
    assert diamonds.get_offsets().tolist() == [[30, 0]]  # the last row is the lowest
    assert [bar.get_width() for bar in axes.patches] == [7120, 2.5]
    assert [text.get_text() for text in axes.texts] == ["7,120  (published 30)", "2.5"]
    plain = plots.log_bars(table[["method", "value"]], "ms").axes[0]
    assert [text.get_text() for text in plain.texts] == ["7,120", "2.5"] and not plain.collections


def test_planes_and_embedding_show_all_points():
    """Would catch points left out, and a density taken for points."""
    figure = plots.embedding(np.random.default_rng(0).normal(size=(10, 3)), np.arange(10) % 2)
    assert sum(len(c.get_offsets()) for c in figure.axes[0].collections) == 10
    panels = {"density": np.zeros((6, 5)), "points": np.zeros((7, 2))}
    figure = plots.planes(panels, (-1, 1, -1, 1))
    assert len(figure.axes[0].images) == 1
    assert len(figure.axes[1].collections[0].get_offsets()) == 7


def test_promises_show_the_mean_and_the_quantiles_of_each_method_and_rule():
    """Would catch rules or sides swapped, an interval of the mean, and a promise not drawn."""
    shares = np.linspace(0, 1, 101)
    table = pd.concat(
        pd.DataFrame({"miss_rate": high * shares, "false_alarm_rate": (1 - high) * shares**2})
        .assign(method=method, rule=rule)
        for method, rule, high in (("a", "r", 0.2), ("a", "s", 0.4), ("b", "r", 0.6), ("b", "s", 1))
    )  # fmt: skip
    figure = plots.promises(table, 0.25)
    drawn = [[line.get_xdata() for line in ax.lines] for ax in figure.axes]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["a", "b"]
    means = [[x for x in lines if len(x) == 2 and x[0] != x[1]] for lines in drawn]
    assert means[0] == [pytest.approx([0.1, 0.3]), pytest.approx([0.2, 0.5])]  # rule r, rule s
    assert means[1] == [pytest.approx([0.268, 0.134]), pytest.approx([0.201, 0])]
    ends = [(np.nanmin(x), np.nanmax(x)) for x in drawn[0] if len(x) > 2]
    assert np.ravel(ends) == pytest.approx([0.01, 0.19, 0.03, 0.57, 0.02, 0.38, 0.05, 0.95])
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert names == ["r", "s", "promised: 0.25"]


def test_critical_differences_draw_ranks_groups_and_the_difference_to_scale():
    """Would catch a name at another's rank, a bar over methods apart, and a wrong scale."""
    ranks = pd.Series({"c": 3.5, "a": 1.2, "b": 2.0, "d": 3.3})
    ax = plots.critical_differences(ranks, 1.4).axes[0]
    drawn = {text.get_text() for text in ax.texts}
    assert {"a  1.20", "b  2.00", "3.30  d", "3.50  c", "critical difference 1.40"} <= drawn
    thick = [line.get_xdata().tolist() for line in ax.lines if line.get_linewidth() == 4]
    assert thick == [pytest.approx([1.16, 2.04]), pytest.approx([1.96, 3.34]),
                     pytest.approx([3.26, 3.54])]  # fmt: skip
    (scale,) = (line.get_xdata().tolist() for line in ax.lines if line.get_linewidth() == 2.5)
    assert scale == pytest.approx([1, 2.4])
    bent = [line for line in ax.lines if len(line.get_xdata()) == 3]
    stems = {line.get_xdata()[0]: line.get_ydata()[-1] for line in bent}
    heights = {text.get_text().strip("0123456789. "): text.get_position()[1] for text in ax.texts}
    assert {name: stems[rank] for name, rank in ranks.items()} == {n: heights[n] for n in "abcd"}


def test_quality_against_cost_fills_the_front_alone():
    """Would catch the front drawn through a beaten method, and markers under another's name."""
    table = pd.DataFrame({
        "method": ["a", "b", "c"], "cost": [1.0, 2.0, 10.0], "value": [0.7, 0.6, 0.9],
        "low": 0.5, "high": 0.95,
    })  # fmt: skip
    ax = plots.quality_against_cost(table, "ms", "auROC").axes[0]
    assert ax.get_xscale() == "log"
    assert ax.lines[0].get_xdata().tolist() == [1, 10]
    filled = {c.get_label(): c.lines[0].get_markerfacecolor() != "white" for c in ax.containers}
    assert filled == {"a": True, "b": False, "c": True}


def test_heat_maps_share_a_scale_and_frame_the_named_cells():
    """Would catch rows and columns swapped, and panels that cannot be compared."""
    index, columns = pd.Index([0, 0.5], name="alpha"), pd.Index([0, 0.1, 1], name="lambda")
    tables = [pd.DataFrame(np.full((2, 3), v), index, columns) for v in (0.2, 0.8)]
    figure = plots.heat_maps(dict(zip("ab", tables, strict=True)), {"chosen": (0.5, 0.1)}, "auROC")
    panels = figure.axes[:2]
    assert {ax.collections[0].get_clim() for ax in panels} == {(0.2, 0.8)}
    assert [t.get_text() for t in panels[0].get_xticklabels()] == ["0", "0.1", "1"]
    for ax in panels:
        (frame,) = ax.patches
        assert int(frame.get_x()) == 1 and int(frame.get_y()) == 1
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["chosen"]


def test_dots_and_lines_stand_beside_each_other_at_their_values():
    """Would catch values of one method drawn for another, and shares taken for percent."""
    table = pd.DataFrame({
        "method": ["a", "b"] * 2, "set": ["s", "s", "t", "t"], "x": [0, 0, 0.1, 0.1],
        "value": [0.1, 0.2, 0.3, 0.4], "low": [0.0, np.nan, 0.2, 0.3], "high": 0.5,
    })  # fmt: skip
    ax = plots.dots(table, "set", "method", "auROC", 0.5).axes[0]
    drawn = {c.get_label(): c.lines[0] for c in ax.containers}
    assert drawn["b"].get_xdata().tolist() == [0.2, 0.4]
    assert drawn["a"].get_ydata() == pytest.approx([-0.2, 0.8])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["s", "t"]
    ax = plots.against_share(table, "auROC", "abnormal").axes[0]
    drawn = {c.get_label(): c.lines[0] for c in ax.containers}
    assert drawn["a"].get_ydata().tolist() == [0.1, 0.3]
    assert drawn["a"].get_xdata() == pytest.approx([0, 10], abs=0.2)
    assert drawn["a"].get_xdata()[0] < drawn["b"].get_xdata()[0]


def test_false_colours_rise_with_the_map_and_outlines_leave_the_defect_in_view():
    """Would catch a scale for each image, and an outline drawn over what it is to show."""
    maps = np.zeros((2, 4, 4), np.float32)
    maps[1, 0, 0], maps[0, 1, 1] = 4, 2
    coloured = plots.false_colours(maps, 1.0)
    assert coloured.shape == (2, 3, 4, 4) and coloured.dtype == torch.uint8
    brightness = coloured.float().mean(1)
    assert brightness[1, 0, 0] > brightness[0, 1, 1] > brightness[0, 0, 0]
    assert len(plots.false_colours(np.ones((1, 2, 2))).flatten(2).unique(dim=2)[0, 0]) == 1
    masks = torch.zeros(1, 5, 5, dtype=torch.bool)
    masks[0, 2, 2] = True
    drawn = plots.outlined(torch.full((1, 1, 5, 5), 7, dtype=torch.uint8), masks)
    assert drawn[0, :, 2, 2].tolist() == [7, 7, 7] and drawn[0, :, 0, 0].tolist() == [7, 7, 7]
    assert (drawn[0, 0] > 200).sum() == 8


def test_cost_is_per_image_and_leaves_out_the_warm_up(monkeypatch):
    """Would catch seconds taken for milliseconds, a batch for an image, or a cold first pass."""
    clock = iter([0.0, 9.0, 10.0, 10.4, 20.0, 20.2, 30.0, 30.6])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    detector = models.AutoEncoder(side=32, channels=1, width=4, latent=8)
    images = torch.zeros(4, 1, 32, 32, dtype=torch.uint8)
    assert cost.milliseconds_per_image(detector, images, 2) == pytest.approx(100)


@pytest.mark.filterwarnings("error")
def test_every_way_to_stop_is_seen():
    """Catches picks that cover one another, and points of the curve drawn as picks."""
    picks = {"last": 20, "lowest scores": 10, "best on the test": 10}
    rows = [("A", f"step {x}", x, 0.4 + x / 100) for x in (10, 20)]
    rows += [("A", variant, x, 0.4 + x / 100) for variant, x in picks.items()]
    table = pd.DataFrame(rows, columns=["name", "variant", "x", "value"])
    figure = plots.stopping(table)
    points = max(figure.axes[0].collections, key=lambda drawn: len(drawn.get_offsets()))
    assert len(points.get_offsets()) == 3 and len(set(points.get_sizes())) == 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(picks)


def published_numbers(*verdicts):
    """Published numbers with ours beside them, one a verdict; the last is off the axes."""
    rows = pd.DataFrame({"verdict": verdicts, "value": 0.9, "low": np.nan, "high": np.nan})
    return rows.assign(ours=[*np.linspace(0.8, 0.6, len(rows) - 1), 0.05])


def test_published_numbers_are_told_apart_by_more_than_colour():
    """Would catch a filled dot at toy scale, two verdicts with one mark, a dot off the axes."""
    names = list(published.STYLES)
    figure = plots.published_against_ours(published_numbers(*names, "differs"), "A")
    dots = {
        (line.get_xdata()[0], round(line.get_ydata()[0], 3)): line
        for line in figure.axes[0].lines
        if line.get_linestyle() == "None"
    }
    assert len(dots) == len(names) + 1
    marks = {(line.get_marker(), line.get_markerfacecolor()) for line in dots.values()}
    assert len(marks) == len(names) + 1  # the clipped one is a triangle
    hollow = [line for line in dots.values() if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 1 and hollow[0].get_markeredgecolor() == published.STYLES["toy scale"][0]
    assert min(y for _, y in dots) >= published.LOWEST
    assert [text.get_text() for text in figure.legends[0].texts] == [*reversed(names), "margin"]


def test_every_verdict_with_a_number_has_a_mark():
    """Would catch a verdict that the pictures leave out without a word."""
    alone = {verdicts.NO_DATA, verdicts.NOT_RUN}
    assert set(published.STYLES) == set(verdicts.VERDICTS) - alone


def test_papers_without_a_number_of_ours_keep_their_panel():
    """Would catch a paper that vanishes, and times drawn as if they were shares of 1."""
    few = published_numbers("agrees", "differs")
    none = few.assign(ours=np.nan)
    times = few.assign(value=7000.0)
    figure = plots.papers_against_ours({"A": few, "B": none, "C": times})
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title() for ax in shown] == ["A", "B", "C"]
    said = [ax.texts[0].get_text() for ax in shown]
    assert said[0] == "2 of 2 numbers" and all(text.startswith("none of 2") for text in said[1:])
