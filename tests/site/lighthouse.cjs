// What Lighthouse must find on every page, on the DEVICE that is named: mobile or desktop.
// Performance depends on how busy the machine is: on mobile it is the median of three runs.
const mobile = process.env.DEVICE === "mobile"
const atLeast = minScore => ["error", { minScore, aggregationMethod: "median" }]

module.exports = {
  ci: {
    collect: {
      numberOfRuns: mobile ? 3 : 1,
      settings: {
        ...(mobile ? {} : { preset: "desktop" }),
        chromeFlags: "--headless=new --no-sandbox --disable-background-networking",
      },
    },
    assert: {
      assertions: {
        "categories:performance": atLeast(mobile ? 0.98 : 1),
        "categories:accessibility": atLeast(1),
        "categories:best-practices": atLeast(1),
        "categories:seo": atLeast(1),
      },
    },
  },
}
