"""The page of a run: complete, self-contained, safe; and in a real browser by mouse, keyboard and on a phone."""

import json
import re
import shutil

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.maps.kinds import KINDS
from patchail_jax.programs.reports import main
from patchail_jax.reports.html import write_pages
from patchail_jax.reports.page_data import POINTS, page_data
from patchail_jax.reports.runs import read_run
from tests.reports.fakes import make_run

OWNED = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>{{data}}&amp;"
STEPS, SIDE = 40, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of 100,000 frames with everything a page shows, and a name that would like to be a program."""
    folder = make_run(
        tmp_path_factory.mktemp("runs"), num_frames=100_000, returns=lambda frame: frame / 200, note=OWNED
    )
    frames, lines = range(0, 100_001, 20_000), []
    for frame in frames:
        for who, shift in (("expert", 3), ("agent", 0)):
            counts = np.roll([0, 1, 4, 1, 0, 0, 0, 0], shift).tolist()
            lines.append({"frame": frame, "name": f"evaluation/{who}_logits", "counts": counts, "edges": [-4, 4]})
    (folder / "histograms.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = [{"kind": "train", "frame": f, "update": f, "critic/loss": f / 1000, OWNED: 1} for f in frames]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics) + '{"cut sho')
    (folder / "versions.json").write_text(json.dumps({"python": "3.11", "jax": None}))
    (folder / "videos").mkdir()
    maps = {f"maps_{kind}": np.full((STEPS, SIDE, SIDE), value, np.float16) for value, kind in enumerate(KINDS)}
    np.savez(
        folder / "videos" / "latest.npz",
        frame=np.asarray(100_000),
        frames=np.arange(STEPS + 1, dtype=np.uint8)[:, None, None, None].repeat(SIDE, 1).repeat(SIDE, 2).repeat(3, 3),
        rewards=np.linspace(-1, 1, STEPS, dtype=np.float32),
        **maps,
        **{f"limit_{kind}": np.asarray(2.0) for kind in KINDS},
    )
    return folder


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):
    return write_pages([read_run(folder)], tmp_path_factory.mktemp("page"))[0]


def test_a_page_holds_everything_and_asks_for_nothing(page):
    text = page.read_text()
    addresses = set(re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"data:image/webp;base64,[\w+/=]+", "", text))) - {
        "http://www.w3.org"
    }
    assert not addresses and "default-src 'none'" in text
    assert "patchail" in text.lower() and "evaluation.every_frames" in text and "3.11" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert data["curves"]["evaluation/return"][-1] == [100_000, 500.0] and data["expert"] > 0
    assert len(data["histograms"]["expert"]) == 6 and list(data["episode"]["kinds"]) == list(KINDS)
    assert len(data["episode"]["steps"]) == STEPS


def test_a_curve_of_many_points_ends_at_its_last(tmp_path):
    run = make_run(tmp_path, until=0)
    lines = (json.dumps({"frame": frame, "critic/loss": 1.0}) for frame in range(2 * POINTS))
    (run / "metrics.jsonl").write_text("\n".join([*lines, ""]))
    points = page_data(read_run(run))["curves"]["critic/loss"]
    assert len(points) == POINTS and [points[0][0], points[-1][0]] == [0, 2 * POINTS - 1]


def test_what_a_run_holds_is_text_and_never_markup(page):
    text = page.read_text()
    assert "<img src=x" not in text and 'onerror="' not in text
    assert "&lt;/script&gt;" in text and text.count("<script") == 2


def test_a_run_that_has_just_begun_has_a_page(tmp_path, capsys):
    (make_run(tmp_path / "runs") / "eval.csv").unlink()
    main(["html", str(tmp_path / "runs"), f"--output={tmp_path}"])
    (written,) = capsys.readouterr().out.splitlines()
    assert "stopped at no evaluation yet" in (tmp_path / "cheetah_run_patchail_0.html").read_text()
    assert written.endswith("cheetah_run_patchail_0.html")


def test_runs_that_share_a_name_have_a_page_each(tmp_path, capsys):
    for size in (1, 2):
        make_run(tmp_path / "runs" / f"kernel_{size}", discriminator={"kernel_size": size})
    make_run(tmp_path / "runs", seed=1)
    main(["html", str(tmp_path / "runs"), f"--output={tmp_path / 'out'}"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cheetah_run_patchail_0_kernel_1_cheetah_run_patchail_seed_0.html",
        "cheetah_run_patchail_0_kernel_2_cheetah_run_patchail_seed_0.html",
        "cheetah_run_patchail_1.html",
    ]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_pages_that_cannot_be_told_apart_are_refused(tmp_path):
    for place in ("a/b_c", "a_b/c"):
        make_run(tmp_path / "runs" / place)
    with pytest.raises(UserError, match="would both become"):
        main(["html", str(tmp_path / "runs"), f"--output={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_a_page_is_replaced_by_a_newer_one_of_its_run_alone(tmp_path):
    first, second = make_run(tmp_path / "a & b"), make_run(tmp_path / "c")
    for _ in range(2):
        main(["html", str(first), f"--output={tmp_path / 'out'}"])
    (page,) = (tmp_path / "out").iterdir()
    kept = page.read_bytes()
    with pytest.raises(UserError, match=r"is the page of \S+a & b\S*, not of \S+: give another --output"):
        main(["html", str(second), f"--output={tmp_path / 'out'}"])
    assert page.read_bytes() == kept


@pytest.mark.parametrize("name", ["metrics.jsonl", "histograms.jsonl"])
@pytest.mark.parametrize(
    "damage", ["{", "7", "{}", "[" * 10**5, '{"frame": NaN}', '{"frame": "x"}', '{"frame": [1]}'], ids=str.strip
)
def test_a_damaged_line_is_named(tmp_path, name, damage):
    run = make_run(tmp_path)
    (run / name).write_text(damage + "\n")
    with pytest.raises(UserError, match=f"{name}, line 1, is damaged"):
        main(["html", str(run), f"--output={tmp_path / 'out'}"])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("metrics.jsonl", {"frame": 1, "a": 10**400}),
        *(
            ("histograms.jsonl", {"frame": 1, "name": "expert_logits", "counts": [1], "edges": [0, 1], **wrong})
            for wrong in ({"edges": []}, {"edges": 5}, {"edges": ["a", "b"]}, {"edges": [None, 1]}, {"name": 5})
        ),
        *(
            (
                "histograms.jsonl",
                {"frame": frame, "name": "expert_logits", "counts": counts, "edges": [0, float("nan")]},
            )
            for frame, counts in ((1, [float("nan")]), (1, []), ([1], [1]))
        ),
    ],
)
def test_a_line_of_other_things_is_named(tmp_path, name, line):
    run = make_run(tmp_path, until=0)
    (run / name).write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=f"{name}, line 1, is damaged"):
        write_pages([read_run(run)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"frames": None}, {"frame": None}, {"frame": np.asarray(np.nan)}, {"frame": np.asarray("x")}),
        *({"frames": np.zeros(shape, np.uint8)} for shape in ((5, 5), (6, 8, 8), (6, 8, 4, 3), (0, 8, 8, 3))),
        *({"frames": np.zeros((6, 8, 8, 3), kind)} for kind in (np.float32, np.uint16)),
        *({"rewards": np.ones(shape, np.float32)} for shape in (50, (), (5, 2), 0)),
        *({"maps_gradcam": np.zeros((5, *shape), np.float16)} for shape in ((3, 3), (8, 8, 1))),
        *({"limit_gradcam": limit} for limit in (None, np.zeros(()), np.ones(3))),
    ],
    ids=lambda wrong: f"{next(iter(wrong))} {np.shape(next(iter(wrong.values())))}",
)
def test_what_is_no_episode_is_one_line(tmp_path, wrong):
    run = make_run(tmp_path, until=0)
    arrays = {
        "frame": np.asarray(5),
        "frames": np.zeros((6, 8, 8, 3), np.uint8),
        "rewards": np.ones(5, np.float32),
        "maps_gradcam": np.zeros((5, 8, 8), np.float16),
        "limit_gradcam": np.asarray(1.0),
    }
    (run / "videos").mkdir()
    np.savez(run / "videos" / "latest.npz", **arrays)
    write_pages([read_run(run)], tmp_path)
    np.savez(run / "videos" / "latest.npz", **{n: a for n, a in (arrays | wrong).items() if a is not None})
    with pytest.raises(UserError, match=r"latest\.npz is not the episode of an evaluation: remove it"):
        write_pages([read_run(run)], tmp_path)


def test_a_run_with_a_damaged_file_leaves_no_page_of_another(tmp_path):
    for seed in (0, 1):
        run = make_run(tmp_path / "runs", seed=seed, until=0)
    (run / "versions.json").write_text("[")
    with pytest.raises(UserError, match=r"seed_1/versions\.json cannot be read \(.*\): correct or remove it"):
        main(["html", str(tmp_path / "runs"), f"--output={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_a_sign_that_has_no_bytes_costs_no_page(tmp_path):
    run = make_run(tmp_path, until=0)
    (run / "versions.json").write_text(json.dumps({"machine": "\ud800"}))
    (page,) = write_pages([read_run(run)], tmp_path)
    assert "<td>?" in page.read_text()


@pytest.fixture(scope="module")
def broken_page(tmp_path_factory):
    """The page of a run whose numbers are none from its middle on, and of whose loss one is none."""
    folder = make_run(
        tmp_path_factory.mktemp("broken"), num_frames=100_000, returns=lambda f: f / 200 if f < 60_000 else "nan"
    )
    losses = {0: "1.0", 20_000: "null", 40_000: "2.0", 60_000: "-Infinity"}
    lines = [f'{{"frame": {frame}, "critic/loss": {value}, "none": NaN}}\n' for frame, value in losses.items()]
    (folder / "metrics.jsonl").write_text("".join(lines))
    histograms = [
        f'{{"frame": {frame}, "name": "evaluation/{who}_logits", "counts": [1, 2], "edges": [{low}, 1]}}\n'
        for frame, low in ((0, "-1"), (20_000, "NaN"))
        for who in ("expert", "agent")
    ]
    (folder / "histograms.jsonl").write_text("".join(histograms))
    (folder / "videos").mkdir()
    np.savez(
        folder / "videos" / "latest.npz",
        frame=np.asarray(20_000),
        frames=np.full((STEPS + 1, SIDE, SIDE, 3), 9, np.uint8),
        rewards=np.full(STEPS, np.nan, np.float32),
        **{f"maps_{kind}": np.full((STEPS, SIDE, SIDE), np.nan, np.float16) for kind in KINDS},
        **{f"limit_{kind}": np.asarray(np.nan) for kind in KINDS},
    )
    return write_pages([read_run(folder)], folder)[0]


def test_what_is_no_number_is_a_gap(broken_page):
    text = broken_page.read_text()
    assert "its return is not a number from 60,000 frames on" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert data["curves"]["evaluation/return"] == [[0, 0.0], [20_000, 100.0], [40_000, 200.0]]
    assert data["curves"]["critic/loss"] == [[0, 1.0], [20_000, None], [40_000, 2.0], [60_000, None]]
    assert [one["frame"] for one in data["histograms"]["agent"]] == [0]
    assert data["episode"]["rewards"] == [None] * STEPS and data["episode"]["kinds"] == {}


def test_in_a_browser_a_gap_is_a_gap(browser, broken_page):
    opened(browser, broken_page)
    browser.find_element("id", "metric").send_keys("critic")
    assert text(browser, "curve-value") == "critic/loss at 60,000 frames: not a number"
    path = browser.find_element("css selector", "#curve path").get_attribute("d")
    assert path.count("M") == 2 and "L" not in path and "NaN" not in path
    browser.find_element("id", "metric").send_keys("none")
    assert text(browser, "step-value").endswith("reward not a number") and failures(browser) == []


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory):
    """The page of a method without a discriminator: its episode has frames and no maps."""
    folder = make_run(tmp_path_factory.mktemp("plain"), method="drqv2")
    (folder / "videos").mkdir()
    frames = np.full((STEPS + 1, SIDE, SIDE, 3), 9, np.uint8)
    np.savez(folder / "videos" / "latest.npz", frame=np.asarray(20_000), frames=frames)
    return write_pages([read_run(folder)], folder)[0]


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, as Debian ships it; ``launch/setup.sh`` installs it."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver))
    yield driver
    driver.quit()


def opened(browser, page, *, width=1280, scheme="light"):
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(page.as_uri())
    ready = "return document.documentElement.dataset.ready && [...document.images].every(one => one.complete)"
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(ready))
    return browser


def failures(browser):
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def text(browser, name):
    return browser.find_element("id", name).text


def pixel(browser, name):
    """The colour in the middle of a canvas, once its picture is there."""
    script = f"return [...document.getElementById('{name}').getContext('2d').getImageData(6, 6, 1, 1).data]"
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(script)[3] == 255)
    return browser.execute_script(script)[:3]


def test_in_a_browser_nothing_fails_is_fetched_or_injected(browser, page):
    opened(browser, page)
    assert failures(browser) == []
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith("data:") for name in fetched)
    assert browser.title == "cheetah_run, PatchAIL, seed 0"
    assert OWNED in browser.find_element("css selector", "details").get_attribute("textContent")


def test_the_curve_tells_its_points_to_mouse_and_keyboard(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    curve = opened(browser, page).find_element("id", "curve")
    assert text(browser, "curve-value") == "evaluation/return at 100,000 frames: 500"
    ActionChains(browser).move_to_element_with_offset(curve, -curve.size["width"] // 2 + 60, 0).perform()
    assert text(browser, "curve-value") == "evaluation/return at 0 frames: 0"
    curve.send_keys(Keys.ARROW_RIGHT)
    assert text(browser, "curve-value") == "evaluation/return at 20,000 frames: 100"
    browser.find_element("id", "metric").send_keys("critic")
    assert text(browser, "curve-value") == "critic/loss at 100,000 frames: 100"


def test_the_slider_and_the_kinds_follow_the_keyboard(browser, page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)
    slider = browser.find_element("id", "step")
    slider.send_keys(Keys.HOME)
    assert text(browser, "step-value") == "step 0 of 39, reward -1.000" and pixel(browser, "plain") == [0, 0, 0]
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert text(browser, "step-value").startswith("step 2 of 39") and pixel(browser, "plain") == [2, 2, 2]
    assert slider.get_attribute("aria-valuetext") == text(browser, "step-value")
    seen = []
    radio = browser.find_element("css selector", "input[name=kind]")
    for kind in KINDS:
        assert text(browser, "kind-name") == KINDS[kind]
        seen.append(tuple(pixel(browser, "mapped")))
        radio.send_keys(Keys.ARROW_RIGHT)
        radio = browser.switch_to.active_element
    neutral, one, two, *_ = (red - blue for red, _, blue in seen)
    assert abs(neutral) < 3 and 10 < one < two  # as their maps, of 0, 1 and 2


def test_the_histograms_follow_their_slider(browser, page):
    from selenium.webdriver.common.keys import Keys

    slider = opened(browser, page).find_element("id", "evaluation")
    slider.send_keys(Keys.HOME)
    assert text(browser, "evaluation-value") == "at 0 frames: median logit of the expert 1.5, of the agent -1.5"
    slider.send_keys(Keys.ARROW_RIGHT)
    assert text(browser, "evaluation-value").startswith("at 20,000 frames")


def test_every_axis_has_two_numbers_at_least(browser, folder, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run")
    lines = [
        {"frame": 0, "name": f"evaluation/{who}_logits", "counts": [0, 1, 4, 1], "edges": [-3.9, 2.3]}
        for who in ("expert", "agent")
    ]
    (run / "histograms.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    opened(browser, write_pages([read_run(run)], tmp_path)[0])
    axis = [one.text for one in browser.find_elements("css selector", "#histogram text[text-anchor=middle]")]
    assert axis == ["-2", "0", "2"]


def test_without_a_discriminator_the_episode_is_shown_alone(browser, plain_page):
    opened(browser, plain_page)
    assert failures(browser) == [] and pixel(browser, "plain") == [9, 9, 9]
    assert text(browser, "step-value") == "step 20 of 40" and text(browser, "no-histograms").startswith("No histograms")
    hidden = ("mapped", "kinds", "scale", "histograms")
    assert not any(browser.find_element("id", name).is_displayed() for name in hidden)


def test_playing_goes_on_until_it_is_paused(browser, page):
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, page)
    before, play = text(browser, "step-value"), browser.find_element("id", "play")
    play.click()
    WebDriverWait(browser, 10).until(lambda driver: text(driver, "step-value") != before)
    play.click()
    assert play.text == "Play"


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_no_screen_is_too_narrow(browser, page, width):
    opened(browser, page, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    frame, mapped = browser.find_element("id", "plain").rect, browser.find_element("id", "mapped").rect
    assert frame["y"] == mapped["y"] and mapped["x"] > frame["x"]  # beside each other, on a phone too


def test_every_control_is_reached_by_tab_and_has_a_name(browser, page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)
    reached = []
    for _ in range(8):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        assert active.accessible_name, active.get_attribute("outerHTML")[:80]
        reached.append(active.get_attribute("id") or active.get_attribute("name") or active.tag_name)
    assert reached[:7] == ["metric", "curve", "kind", "step", "play", "evaluation", "summary"]


def test_dark_rooms_get_a_dark_page(browser, page):
    def brightness(scheme):
        opened(browser, page, scheme=scheme)
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3])

    assert brightness("light") > 600 and brightness("dark") < 120


def test_the_histograms_of_a_long_run_open_at_its_end(browser, folder, tmp_path):
    long = shutil.copytree(folder, tmp_path / "long")
    lines = [
        {"frame": frame, "name": f"evaluation/{who}_logits", "counts": [0, 1, 4, 1], "edges": [-4, 4]}
        for frame in range(0, 201 * 20_000, 20_000)
        for who in ("expert", "agent")
    ]
    (long / "histograms.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    slider = opened(browser, write_pages([read_run(long)], tmp_path)[0]).find_element("id", "evaluation")
    assert slider.get_property("value") == slider.get_property("max") == "200"
    assert text(browser, "evaluation-value").startswith("at 4,000,000 frames")


def test_a_damaged_episode_is_one_line(folder, tmp_path):
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    episode = damaged / "videos" / "latest.npz"
    episode.write_bytes(episode.read_bytes()[:-100])
    said = (
        r"latest\.npz is not the episode of an evaluation: remove it, and the page is made without one \(.*not a comp"
    )
    with pytest.raises(UserError, match=said):
        write_pages([read_run(damaged)], tmp_path)
    episode.unlink()
    assert write_pages([read_run(damaged)], tmp_path)
