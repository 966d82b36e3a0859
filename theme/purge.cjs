// What of Material's stylesheets the built site uses, for purgecss in the folder of the site.
// Of pages their elements, classes and attributes count; of scripts every name in Material's style.
module.exports = {
  css: ["assets/stylesheets/*.min.css"],
  output: "assets/stylesheets",
  content: ["**/*.html", "assets/javascripts/*.js", "assets/*.js"],
  extractors: [
    {
      extensions: ["html"],
      extractor: text => (text.match(/<[^>]*>/g) ?? []).flatMap(tag => tag.match(/[\w-]+/g) ?? []),
    },
    {
      extensions: ["js"],
      extractor: text => text.match(/(?<![\w-])(--)?md-[\w-]+|\b(mark|input|textarea|button|focus-visible)\b/g) ?? [],
    },
  ],
  variables: true,
  safelist: { variables: [/^(?!.*icon)/] }, // of one file: the others use them
  keyframes: true,
  fontFace: true,
}
