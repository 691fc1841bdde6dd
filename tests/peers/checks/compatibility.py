"""docs/compatibility.md says what is true today."""
import compatibility
import peer


@peer.check("compatibility", timeout=300)
def page_is_true(context):
    if context.subject is context.reference:
        raise peer.Skip("the page is about klamm")
    wanted, got = compatibility.page().splitlines(), compatibility.PAGE.read_text(encoding="utf-8").splitlines()
    differ = [f"{have!r} should be {want!r}" for have, want in zip(got, wanted) if have != want]
    peer.expect(got == wanted, f"docs/compatibility.md (tests/peers/compatibility.py --write): {len(differ)} lines differ, first: {differ[:2]}")
