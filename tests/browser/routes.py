"""Every page of the dashboard, and how one knows that it is complete."""

from dataclasses import dataclass

from playwright.async_api import expect

from tests.browser.browsing import Visitor


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A page as somebody who is logged in, or not, comes to it."""

    name: str
    path: str
    heading: str
    logged_in: bool = True

    async def open(self, visitor: Visitor) -> None:
        """Go there, and wait until nothing more is to come."""
        if not self.logged_in:
            visitor.expect_trouble("401: GET .*/api/session$")
        await visitor.go(self.path.format(experiment=visitor.stage.experiment))
        page = visitor.page
        await expect(page.get_by_role("heading", name=self.heading, level=1)).to_be_visible()
        await expect(page.locator("[aria-busy=true]")).to_have_count(0)


ROUTES = (
    Route(name="login", path="/", heading="Log in", logged_in=False),
    Route(name="experiments", path="/", heading="Experiments"),
    Route(name="experiment", path="/experiments/{experiment}", heading="Front page"),
    Route(name="new", path="/new", heading="New experiment"),
    Route(name="edit", path="/experiments/{experiment}/edit", heading="Edit Front page"),
    Route(name="replays", path="/replays", heading="Replays"),
    Route(name="system", path="/system", heading="System"),
    Route(name="access", path="/access", heading="Access"),
    Route(name="nothing", path="/nothing-here", heading="Not found"),
    Route(name="reference", path="/reference", heading="REST interface"),
)
