// What of Material's stylesheets the built site uses, for purgecss in the folder of the site.
// Of pages their elements, classes and attributes count; of scripts names as Material's, elements, and strings of one word.
// No page is written from right to left.
module.exports = {
  css: ["assets/stylesheets/*.min.css"],
  output: "assets/stylesheets",
  content: ["**/*.html", "assets/javascripts/{bundle,workers/search}*.js", "assets/*.js"],
  extractors: [
    {
      extensions: ["html"],
      extractor: text => (text.match(/<[^>]*>/g) ?? []).flatMap(tag => tag.match(/[\w-]+/g) ?? []),
    },
    {
      extensions: ["js"],
      extractor: text => text.match(/[\w-]*md-[\w-]+|(?<=["'`])[\w-]+(?=["'`])|(?<=<)\w+/g)?.filter(word => word !== "rtl") ?? [],
    },
  ],
  variables: true,
  // What the scripts know and this site does not use.
  blocklist: [/^tabbed-/, /annotat/, /^md-(author|banner|consent|feedback|pagination|post|profile|select|social|source|status|tabs|tag|tooltip|version)/, /mermaid/],
  safelist: { variables: [/^(?!.*(icon|mermaid|md-status))/] }, // of one file: the others use them
  keyframes: true,
  fontFace: true,
}
