"""The verbs, a module per family. A verb parses nothing and decides nothing: it calls the engine and renders."""
