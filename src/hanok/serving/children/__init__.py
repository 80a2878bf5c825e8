"""Programs that Hanok starts as processes of their own, so that their crash is not ours."""
