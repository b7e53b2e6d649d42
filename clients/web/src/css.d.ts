/** The build makes a style sheet a text, without what a browser does not need. */
declare module "*.css" {
  const text: string;
  export default text;
}
